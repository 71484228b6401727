//! Faults on a small shop.

mod made;
mod numbers;
pub(in crate::simulate) mod shop;
