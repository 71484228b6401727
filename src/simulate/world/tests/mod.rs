//! What a user of the world sees.

mod queueing;
mod support;
