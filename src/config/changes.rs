//! What of another configuration a running gateway can take on.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Config;
use crate::server;

/// Keys that hold from a reload on, for connections that come then; the others are read at the start only. Sections end with a
/// dot.
const LIVE: [&str; 15] = [
    "rtmp.limits.",
    "websocket.unsent_bytes",
    "websocket.keep_alive.",
    "authority.",
    "limits.header_timeout",
    "limits.idle_timeout",
    "limits.node.",
    "limits.tenant.",
    "limits.path.",
    "limits.address.",
    "limits.drain",
    "limits.drain_notice",
    "delivery.",
    "session.",
    "hooks.",
];

/// Exceptions to [`LIVE`]: what streams hold that are there already.
const HELD: [&str; 2] = ["rtmp.limits.idle_timeout", "delivery.cache."];

/// The keys in which two configurations differ.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Changes {
    /// Those that hold now, for connections that come from now on.
    pub applied: Vec<String>,
    /// Those that hold after a restart.
    pub needs_restart: Vec<String>,
}

impl Config {
    /// In what `other` differs from this one.
    pub fn changes(&self, other: &Self) -> Changes {
        let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
        flatten(&self.to_tree(), "", &mut before);
        flatten(&other.to_tree(), "", &mut after);
        let keys: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let changed = keys.into_iter().filter(|key| before.get(*key) != after.get(*key)).cloned();
        let (mut applied, needs_restart): (Vec<_>, _) = changed.partition(|key| is_live(key));
        // Secrets are not shown, so that one differs can't be seen there.
        if self.authority != other.authority && !applied.iter().any(|key| key.starts_with("authority.")) {
            applied.push("authority".into());
        }
        Changes { applied, needs_restart }
    }

    /// Takes on those keys of `other` that hold without a restart.
    pub fn take_on(&mut self, other: &Self) {
        let Self { rtmp, websocket, authority, limits, delivery, session, hooks, .. } = other.clone();
        self.authority = authority;
        let idle_timeout = std::mem::replace(&mut self.rtmp.limits, rtmp.limits).idle_timeout;
        self.rtmp.limits.idle_timeout = idle_timeout;
        self.websocket.unsent_bytes = websocket.unsent_bytes;
        self.websocket.keep_alive = websocket.keep_alive;
        self.limits = server::Limits { connections: self.limits.connections, ..limits };
        let cache = std::mem::replace(&mut self.delivery, delivery).cache;
        self.delivery.cache = cache;
        self.session = session;
        self.hooks = hooks;
    }
}

fn is_live(key: &str) -> bool {
    let is_in = |sections: &[&str]| {
        sections.iter().any(|section| key == *section || section.ends_with('.') && key.starts_with(section))
    };
    is_in(&LIVE) && !is_in(&HELD)
}

fn flatten(tree: &Value, prefix: &str, keys: &mut BTreeMap<String, Value>) {
    match tree {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(value, &path, keys);
            }
        }
        value => {
            keys.insert(prefix.into(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;

    #[test]
    fn what_changed_is_sorted_by_when_it_holds() {
        let mut other = Config::default();
        other.rtmp.address = Address::local(1);
        other.delivery.segment_frames = 3;
        other.delivery.cache.max_bytes = bytesize::ByteSize::mib(1);
        other.rtmp.limits.idle_timeout *= 2;
        let changes = Config::default().changes(&other);
        assert_eq!(changes.applied, ["delivery.segment_frames"]);
        assert_eq!(changes.needs_restart, ["delivery.cache.max_bytes", "rtmp.address", "rtmp.limits.idle_timeout"]);
        assert_eq!(other.changes(&other), Changes::default());
        let mut taken_on = Config::default();
        taken_on.take_on(&other);
        assert_eq!(taken_on.changes(&other), Changes { applied: vec![], ..changes });
    }

    #[test]
    fn every_key_that_holds_at_once_is_a_key() {
        let mut keys = BTreeMap::new();
        flatten(&Config::default().to_tree(), "", &mut keys);
        for live in LIVE.iter().chain(&HELD) {
            assert!(keys.keys().any(|key| key == live || live.ends_with('.') && key.starts_with(live)), "{live}");
        }
    }
}
