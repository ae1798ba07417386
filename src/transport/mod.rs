//! Session ↔ network.
