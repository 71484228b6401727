//! Faults on a small shop.

mod docs;
mod made;
mod numbers;
pub(in crate::simulate) mod shop;
