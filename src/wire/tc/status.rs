//! Statuses: what `onStatus`, `_result` and `_error` tell in their info object.

use crate::wire::amf0::Value;

/// How a status is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// All is well.
    Status,
    /// What was asked for didn't happen.
    Error,
}

macro_rules! statuses {
    ($($(#[$doc:meta])+ $name:ident = $code:literal, $level:ident;)+) => {
        /// The statuses of the conversation, each with one code and one level.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Status { $($(#[$doc])+ $name,)+ }

        impl Status {
            /// Every status there is.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The code on the wire.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// The level on the wire.
            pub fn level(self) -> Level {
                match self { $(Self::$name => Level::$level),+ }
            }
        }
    };
}

statuses! {
    /// `connect` is accepted.
    ConnectSuccess = "NetConnection.Connect.Success", Status;
    /// `connect` is refused.
    ConnectRejected = "NetConnection.Connect.Rejected", Error;
    /// A call that isn't known or failed.
    CallFailed = "NetConnection.Call.Failed", Error;
    /// The gateway will close the connection.
    ShutdownNotify = "NetConnection.Shutdown.Notify", Status;
    /// What played before is over.
    PlayReset = "NetStream.Play.Reset", Status;
    /// `play` is accepted.
    PlayStart = "NetStream.Play.Start", Status;
    /// `play` is refused, or can't go on.
    PlayFailed = "NetStream.Play.Failed", Error;
    /// Nobody publishes the stream. The viewer goes on waiting, so nothing has failed.
    PlayStreamNotFound = "NetStream.Play.StreamNotFound", Status;
    /// A publisher is there.
    PlayPublishNotify = "NetStream.Play.PublishNotify", Status;
    /// The publisher has gone.
    PlayUnpublishNotify = "NetStream.Play.UnpublishNotify", Status;
    /// `publish` is accepted.
    PublishStart = "NetStream.Publish.Start", Status;
    /// `publish` is refused.
    PublishBadName = "NetStream.Publish.BadName", Error;
    /// What is published can't be taken, or not any more.
    PublishRejected = "NetStream.Publish.Rejected", Error;
    /// Publishing has ended as asked.
    UnpublishSuccess = "NetStream.Unpublish.Success", Status;
}

impl Status {
    /// The status with this code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|status| status.code() == code)
    }
}

impl Level {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Level::Status => "status",
            Level::Error => "error",
        }
    }
}

/// An info object being built: `{level, code, description, …}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Info(Vec<(String, Value)>);

impl Info {
    /// An info object of `status` for a person to read as `description`.
    pub fn new(status: Status, description: &str) -> Self {
        Self(vec![]).with("level", status.level().name()).with("code", status.code()).with("description", description)
    }

    /// Adds a property: `detail`, `publisher` …
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.push((key.to_owned(), value.into()));
        self
    }
}

impl From<Info> for Value {
    fn from(info: Info) -> Self {
        Value::Object(info.0)
    }
}
