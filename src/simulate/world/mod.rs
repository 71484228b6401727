//! The world: plays a plan on a system, event by event.
