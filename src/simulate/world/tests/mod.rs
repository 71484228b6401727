//! What a user of the world sees.

mod dependencies;
mod knobs;
mod messages;
mod platform;
mod queueing;
mod resources;
mod support;
mod traces;
