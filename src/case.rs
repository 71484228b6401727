//! Case folders.
