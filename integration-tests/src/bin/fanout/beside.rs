//! What else goes on while viewers are measured. Whatever stands for somebody else's machine has the lowest priority here, so
//! that what the viewers notice is the gateway's doing.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use integration_tests::certificate::CertificateFiles;
use integration_tests::clip::{Clip, Live, Stamps};
use integration_tests::fanout::{Subject, baseline};
use integration_tests::process::{GatewayProcess, Process};
use integration_tests::publisher::Publisher;
use tokio::io::{AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::{STREAM, lines, start_baseline, this_program, viewers_address};

/// What the crowd views: another application's.
const CROWDED: &str = "crowd/fanout";
/// What viewers show where viewing is closed.
const KEY: &str = "fanout-viewers-key";

/// What goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    /// Nothing.
    Nothing,
    /// So many viewers of another application, or of a server that only sends.
    Crowd(Subject, usize),
    /// So many tokens guessed a second, each over a connection of its own, from one of thousands of addresses.
    Guesses(u32),
    /// Another certificate after each so many seconds.
    Certificates(u64),
}

/// It, while it goes on.
pub(crate) enum Going {
    Nothing,
    Crowd {
        /// The crowd, its publisher, and the server if it is another.
        _alive: Box<dyn Any>,
    },
    Guesses(Box<Guesses>),
    Certificates(JoinSet<Result<()>>),
}

/// The process that guesses.
pub(crate) struct Guesses {
    _process: Process,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    /// As of the last time it was asked.
    refused: u64,
}

impl FromStr for Beside {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |number: &str| number.parse::<u32>().map_err(|_| format!("{number} is no number"));
        match text.split_once(':') {
            None if text == "none" => Ok(Self::Nothing),
            None => Err(format!("{text} is neither none nor of the form WHAT:NUMBER")),
            Some(("guesses", count)) => Ok(Self::Guesses(number(count)?)),
            Some(("certificates", seconds)) => Ok(Self::Certificates(number(seconds)?.max(1).into())),
            Some((subject, count)) => Ok(Self::Crowd(subject.parse()?, number(count)? as usize)),
        }
    }
}

impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("none"),
            Self::Crowd(subject, count) => write!(f, "{subject}:{count}"),
            Self::Guesses(count) => write!(f, "guesses:{count}"),
            Self::Certificates(seconds) => write!(f, "certificates:{seconds}"),
        }
    }
}

impl Beside {
    /// Settings that the gateway needs for it.
    pub(crate) fn settings(self, folder: &Path) -> Result<Vec<String>> {
        Ok(match self {
            Self::Nothing | Self::Crowd(..) => Vec::new(),
            Self::Guesses(_) => vec![
                "authority.view=closed".into(),
                format!("authority.keys=[{{name: fanout, secret: {KEY}, paths: [\"{STREAM}\"], actions: [view]}}]"),
            ],
            Self::Certificates(_) => CertificateFiles::make(folder)?.settings().into(),
        })
    }

    /// What viewers put behind the stream's name.
    pub(crate) fn credential(self) -> Option<String> {
        matches!(self, Self::Guesses(_)).then(|| format!("token={KEY}"))
    }

    /// Viewers that the gateway has beside those that are measured.
    pub(crate) fn viewers(self) -> usize {
        match self {
            Self::Crowd(subject, count) if subject.format().is_some() => count,
            _ => 0,
        }
    }

    /// Begins.
    pub(crate) async fn start(self, gateway: &GatewayProcess, folder: &Path) -> Result<Going> {
        Ok(match self {
            Self::Nothing => Going::Nothing,
            Self::Crowd(subject, count) => {
                let live = Live::new(Clip::heavy()?, Stamps::All, 0);
                let (address, server, publisher): (_, _, Box<dyn Any>) = match subject {
                    Subject::Baseline(_) => {
                        let (server, ingest, address) = start_baseline(subject).await?;
                        let publisher = baseline::Publisher::start(ingest, live).await?;
                        (address, Some(server), Box::new(publisher))
                    }
                    Subject::Rival(_) => bail!("{subject} has no room for a crowd beside"),
                    Subject::Gateway(..) | Subject::Flowless(_) => {
                        let publisher = Publisher::start(gateway.rtmp, CROWDED, live).await?;
                        (viewers_address(gateway, subject), None, Box::new(publisher))
                    }
                };
                let mut viewers = yielding()?;
                viewers.args(["viewers", &subject.to_string(), &address.to_string(), CROWDED, &count.to_string(), "0"]);
                let mut viewers = Process::start(viewers.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
                let said = lines(&mut viewers)?.next_line().await?;
                ensure!(said.as_deref() == Some("ready"), "the crowd did not join");
                Going::Crowd { _alive: Box::new((viewers, publisher, server)) }
            }
            Self::Guesses(count) => {
                let mut command = yielding()?;
                command.args(["guesses", &gateway.websocket.to_string(), &count.to_string()]);
                let mut process = Process::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
                let input = process.child.stdin.take().context("piped")?;
                let output = lines(&mut process)?;
                Going::Guesses(Box::new(Guesses { _process: process, input, output, refused: 0 }))
            }
            Self::Certificates(seconds) => {
                let mut task = JoinSet::new();
                let files = CertificateFiles::in_folder(folder);
                task.spawn(replace(files, gateway.websocket, Duration::from_secs(seconds)));
                Going::Certificates(task)
            }
        })
    }
}

impl Going {
    /// Looks at what it has come to; gives the number of guesses that were refused since it was asked last.
    pub(crate) async fn check(&mut self) -> Result<u64> {
        match self {
            Self::Nothing | Self::Crowd { .. } => Ok(0),
            Self::Guesses(guesses) => {
                guesses.input.write_all(b"\n").await?;
                let refused = guesses.output.next_line().await?.context("the guesses have ended")?.parse()?;
                Ok(refused - std::mem::replace(&mut guesses.refused, refused))
            }
            Self::Certificates(task) => match task.try_join_next() {
                Some(ended) => ended?.map(|()| 0),
                None => Ok(0),
            },
        }
    }
}

/// This program, giving way to all others.
fn yielding() -> Result<Command> {
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(this_program()?);
    Ok(command)
}

/// Replaces the certificate again and again, and checks that the one before was in use.
async fn replace(files: CertificateFiles, server: SocketAddr, each: Duration) -> Result<()> {
    loop {
        sleep(each).await;
        files.are_served(server).await?;
        files.replace()?;
    }
}
