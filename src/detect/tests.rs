//! From an incident script to findings.
