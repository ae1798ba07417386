use super::StreamPath;

/// Events that wait for who listens; of more, the oldest are lost. Stops crowds that come and go from filling memory.
pub(super) const WAITING: usize = 256;

/// What has happened to a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The path.
    pub path: StreamPath,
    /// What.
    pub change: Change,
}

/// What happens to paths. A publisher that takes over from another is no change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It has a publisher.
    Published,
    /// It has none any more.
    Unpublished,
    /// It has a viewer, whether or not it is published.
    FirstViewer,
    /// It has none any more.
    LastViewer,
}

impl Change {
    /// Its name, as hooks are told.
    pub fn name(self) -> &'static str {
        match self {
            Self::Published => "publish",
            Self::Unpublished => "unpublish",
            Self::FirstViewer => "first_viewer",
            Self::LastViewer => "last_viewer",
        }
    }
}
