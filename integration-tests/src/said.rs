//! What the gateways inside the tests of a run say, kept so that it can be searched for what may not be told.

use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, Once};

use anyhow::{Context, Result};
use tracing_subscriber::filter::LevelFilter;

/// Names the folder where what is said is kept, in a file each process. `run.sh` sets it.
const FOLDER: &str = "HEADWATER_SAID";

/// Keeps what gateways in this process say from here on, where it is asked for.
///
/// # Errors
/// When there can be no file in the folder.
pub fn keep() -> Result<()> {
    static ONCE: Once = Once::new();
    let Some(folder) = std::env::var_os(FOLDER) else { return Ok(()) };
    let path = Path::new(&folder).join(format!("{}.log", std::process::id()));
    let file = File::options().create(true).append(true).open(&path);
    let file = file.with_context(|| path.display().to_string())?;
    ONCE.call_once(|| {
        let log = tracing_subscriber::fmt().with_max_level(LevelFilter::DEBUG).with_ansi(false);
        log.with_writer(Mutex::new(file)).init();
    });
    Ok(())
}
