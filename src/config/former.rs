//! The keys of the gateway before this one, and what has become of them. A configuration that uses one is refused like any
//! other with an unknown key, but told the name here.

/// What a former key is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Now {
    /// This key.
    Key(&'static str),
    /// Nothing that is set, and why.
    Gone(&'static str),
}

/// The same table, for people, is at the end of `config/headwater.yml`.
const FORMER: [(&str, Now); 7] = [
    ("webSocketAddress", Now::Key("websocket.address")),
    ("webSocketBufferSize", Now::Key("websocket.unsent_bytes")),
    ("webSocketSegmentSize", Now::Key("delivery.segment_frames")),
    ("webSocketMaxConnections", Now::Key("limits.connections")),
    ("webSocketProtocol", Now::Gone("each viewer chooses by its subprotocol and path")),
    ("moqUnifiedPort", Now::Key("unified.address")),
    ("moqFallbackToWebSocket", Now::Gone("the player falls back by itself")),
];

/// What to write instead of `key`, a dotted one, if its last part is a former one.
pub(super) fn explain(key: &str) -> Option<String> {
    let last = key.rsplit('.').next()?;
    let (_, now) = FORMER.iter().find(|(former, _)| former.eq_ignore_ascii_case(last))?;
    Some(match now {
        Now::Key(key) => format!("{last} is called {key} here"),
        Now::Gone(reason) => format!("{last} is no setting here: {reason}; leave it out"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    const SHIPPED: &str = include_str!("../../config/headwater.yml");

    #[test]
    fn a_former_key_is_refused_with_file_line_and_its_name_here() {
        let file = std::env::temp_dir().join(format!("headwater-{}-former.yml", std::process::id()));
        for (former, now) in FORMER {
            std::fs::write(&file, format!("rtmp:\n  address: 1935\n{former}: 1\n")).unwrap();
            let error = load(Some(&file), &[]).unwrap_err();
            assert_eq!(error.place, format!("{}:3", file.display()));
            let expected = match now {
                Now::Key(key) => format!("{former} is called {key} here"),
                Now::Gone(reason) => format!("{former} is no setting here: {reason}; leave it out"),
            };
            assert_eq!(error.message, expected);
        }
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn a_former_key_is_known_in_any_section_and_on_the_command_line() {
        assert_eq!(explain("server.moqUnifiedPort").as_deref(), Some("moqUnifiedPort is called unified.address here"));
        assert_eq!(explain("websocket.address"), None);
        let error = load(None, &["webSocketAddress=1".into()]).unwrap_err();
        assert_eq!(error.message, "webSocketAddress is called websocket.address here");
    }

    #[test]
    fn the_shipped_table_is_this_one_and_names_keys_that_there_are() {
        for (former, now) in FORMER {
            let row = SHIPPED.lines().find(|line| line.starts_with(&format!("#   {former} "))).unwrap();
            match now {
                Now::Key(key) => {
                    assert!(row.trim_end().ends_with(key), "{row}");
                    let (section, key) = key.split_once('.').unwrap();
                    let section = SHIPPED.split(&format!("\n{section}:\n")).nth(1).unwrap();
                    assert!(section.contains(&format!("\n  {key}:")), "{key}");
                }
                Now::Gone(reason) => assert!(row.contains(reason), "{row}"),
            }
        }
    }
}
