//! `Frame`: the twelve RTWebSocket messages.
