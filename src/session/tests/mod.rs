//! Two sessions in virtual time.
