//! The log's way to standard error: a thread of its own. Whoever reads there may stand still, and then a write waits for as long as
//! that; nobody who serves a connection may.

use std::io;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tracing::warn;

/// Bytes of lines that wait to be written, some five thousand lines. Strangers cause lines, and may do so while nobody reads.
const MAX_WAITING: usize = 1 << 20;

/// How long the end of the gateway waits until its last lines are written.
const FAREWELL: Duration = Duration::from_secs(1);

/// Takes lines, and never waits: what finds no room is lost, and counted.
#[derive(Debug, Clone)]
pub(super) struct Writer(Arc<Shared>);

/// The log while it is written. Dropping it waits until all that was said is written, for a second at most.
#[derive(Debug)]
#[must_use = "what was said last is written when this is dropped"]
pub struct Log(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    lost: Counter,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    lines: u64,
    stage: Stage,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    /// What waits is written yet.
    Closing,
    Written,
}

impl Writer {
    /// Writes to `output` by a thread of its own, and counts the lines that are `lost`.
    ///
    /// # Errors
    /// When there can't be another thread.
    pub(super) fn start(output: impl io::Write + Send + 'static, lost: Counter) -> io::Result<(Self, Log)> {
        let shared = Arc::new(Shared { waiting: Mutex::default(), changed: Condvar::new(), lost });
        let written = Arc::clone(&shared);
        thread::Builder::new().name("log".into()).spawn(move || written.write_to(output))?;
        Ok((Self(Arc::clone(&shared)), Log(shared)))
    }
}

impl io::Write for Writer {
    /// One call, one line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.0.waiting();
        if waiting.bytes.len() + line.len() > MAX_WAITING {
            self.0.lost.inc();
        } else {
            waiting.bytes.extend_from_slice(line);
            waiting.lines += 1;
            self.0.changed.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        waiting.stage = Stage::Closing;
        self.0.changed.notify_all();
        let _ = self.0.changed.wait_timeout_while(waiting, FAREWELL, |waiting| waiting.stage == Stage::Closing);
    }
}

impl Shared {
    /// What is behind the lock is right after any panic: it is lines.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, mut output: impl io::Write) {
        let mut told = 0;
        loop {
            let idle = |waiting: &mut Waiting| waiting.bytes.is_empty() && waiting.stage == Stage::Open;
            let mut waiting = self.changed.wait_while(self.waiting(), idle).unwrap_or_else(PoisonError::into_inner);
            if waiting.bytes.is_empty() {
                waiting.stage = Stage::Written;
                return self.changed.notify_all();
            }
            let (bytes, lines) = (mem::take(&mut waiting.bytes), mem::take(&mut waiting.lines));
            drop(waiting);
            if output.write_all(&bytes).is_err() {
                self.lost.inc_by(lines);
                continue;
            }
            let lost = self.lost.get();
            if lost > told {
                told = lost;
                warn!(since_start = lost, "lines of the log are lost: it can't be written as fast as it grows");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn what_was_said_is_written_before_the_end() {
        let (mut reader, output) = io::pipe().unwrap();
        let (mut writer, log) = Writer::start(output, Counter::default()).unwrap();
        for line in 0..1000 {
            writeln!(writer, "{line}").unwrap();
        }
        drop(log);
        let mut written = String::new();
        reader.read_to_string(&mut written).unwrap();
        assert!(written.lines().eq((0..1000).map(|line| line.to_string()).collect::<Vec<_>>()));
    }

    #[test]
    fn a_reader_who_stands_still_costs_what_is_beyond_the_bound_and_no_time_but_at_the_end() {
        let (mut reader, output) = io::pipe().unwrap();
        let lost = Counter::default();
        let (mut writer, log) = Writer::start(output, lost.clone()).unwrap();
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        for _ in 0..4000 {
            writer.write_all(&line).unwrap();
        }
        assert!(lost.get() > 1000);
        // It ends all the same, and who reads after all finds whole lines.
        drop(log);
        assert_eq!(writer.0.waiting().stage, Stage::Closing);
        let mut first = vec![0; line.len()];
        reader.read_exact(&mut first).unwrap();
        assert_eq!(first, line);
    }

    #[test]
    fn what_can_not_be_written_is_counted() {
        let (_, output) = io::pipe().unwrap();
        let lost = Counter::default();
        let (mut writer, log) = Writer::start(output, lost.clone()).unwrap();
        writer.write_all(b"a\n").unwrap();
        writer.write_all(b"b\n").unwrap();
        drop(log);
        assert_eq!(lost.get(), 2);
    }
}
