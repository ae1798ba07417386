//! The `headwater` program: arguments → configuration → gateway → exit code.

mod arguments;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The exit code for a configuration that can't be used, as for arguments that can't.
const BAD_CONFIGURATION: u8 = 2;

fn main() -> ExitCode {
    // Both halves of TLS find their cryptography here; without it they could not choose.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match Arguments::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}
