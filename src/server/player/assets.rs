//! What of `player/` browsers are given, made ready once: bundled, compressed, with its tag.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::OnceLock;

use axum::body::Bytes;
use brotli::BrotliCompress;
use brotli::enc::BrotliEncoderParams;
use brotli::enc::backward_references::BrotliEncoderMode;
use flate2::Compression;
use flate2::write::GzEncoder;
use ring::digest::{SHA256, digest};
use rust_embed::Embed;

use super::bundle::bundle;

/// What of `player/` is for browsers, and its content type; the rest is for those who work on it.
const TYPES: [(&str, &str); 4] = [
    (".css", "text/css; charset=utf-8"),
    (".html", "text/html; charset=utf-8"),
    (".js", "text/javascript; charset=utf-8"),
    (".svg", "image/svg+xml"),
];

/// The scripts that are fetched, each with all that it imports; the others are parts of these.
const ENTRIES: [&str; 8] =
    ["compare.js", "element.js", "embed.js", "example.js", "index.js", "media/worklet.js", "watch.js", "worker.js"];

static ASSETS: OnceLock<HashMap<String, Asset>> = OnceLock::new();

fn assets() -> &'static HashMap<String, Asset> {
    ASSETS.get_or_init(|| Files::iter().filter_map(|path| Some((path.to_string(), Asset::new(&path)?))).collect())
}

#[derive(Embed)]
#[folder = "player/"]
struct Files;

fn read(path: &str) -> Option<String> {
    String::from_utf8(Files::get(path)?.data.into()).ok()
}

/// One file.
#[derive(Debug)]
pub(super) struct Asset {
    /// Its content type.
    pub(super) mime: &'static str,
    /// The content's hash, in hexadecimal: sixteen bytes of it tell two versions apart.
    pub(super) tag: String,
    /// Its content as it is.
    pub(super) plain: Bytes,
    compressed: [OnceLock<Bytes>; 2],
}

/// Brotli's window: all of the longest file, 256 KiB, and not the library's 4 MiB.
const WINDOW_BITS: i32 = 18;

/// How a file is compressed, the best one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// A seventh smaller; browsers take it over TLS alone.
    Brotli,
    /// Taken by every browser.
    Gzip,
}

impl Coding {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::Brotli, Self::Gzip];

    /// What it is called in HTTP.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    fn compress(self, content: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Brotli => {
                let mut compressed = Vec::new();
                let settings = BrotliEncoderParams {
                    mode: BrotliEncoderMode::BROTLI_MODE_TEXT,
                    lgwin: WINDOW_BITS,
                    ..Default::default()
                };
                BrotliCompress(&mut &*content, &mut compressed, &settings)?;
                Ok(compressed)
            }
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
                encoder.write_all(content)?;
                encoder.finish()
            }
        }
    }
}

/// The file at `path`, relative to `player/`, if it is one for browsers. The first time, all are bundled.
pub(super) fn find(path: &str) -> Option<&'static Asset> {
    assets().get(path)
}

/// Whether the file at `path`, in this coding, is there at once, or known not to be there.
pub(super) fn is_ready(path: &str, coding: Option<Coding>) -> bool {
    let is_compressed = |asset: &Asset| coding.is_none_or(|coding| asset.compressed[coding as usize].get().is_some());
    ASSETS.get().is_some_and(|assets| assets.get(path).is_none_or(is_compressed))
}

impl Asset {
    fn new(path: &str) -> Option<Self> {
        let (_, mime) = *TYPES.iter().find(|(end, _)| path.ends_with(end))?;
        let plain = match path.ends_with(".js") {
            true if ENTRIES.contains(&path) => bundle(path, &read)?,
            true => return None,
            false => read(path)?,
        };
        let plain = Bytes::from(plain);
        let tag = digest(&SHA256, &plain).as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Some(Self { mime, tag, plain, compressed: Default::default() })
    }

    #[cfg(test)]
    fn text(&self) -> &str {
        std::str::from_utf8(&self.plain).unwrap()
    }

    /// Its content, compressed once, when somebody wants it first.
    pub(super) fn compressed(&self, coding: Coding) -> Bytes {
        let compress = || coding.compress(&self.plain).map_or_else(|_| self.plain.clone(), Bytes::from);
        self.compressed[coding as usize].get_or_init(compress).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::bundle::resolve;
    use super::*;

    /// Most bytes that an embedded player may make a browser fetch, compressed: what a small picture weighs.
    const MAX_EMBED: usize = 60_000;

    #[test]
    fn only_what_is_for_browsers_is_there() {
        assert!(find("index.html").is_some() && find("element.js").is_some());
        for path in ["", "no.js", "package.json", "README.md", "names.js", "wire/vlu.js", "../Cargo.toml", "/etc/hosts"]
        {
            assert!(find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn what_pages_and_scripts_ask_for_is_there_and_nothing_is_imported() {
        for (path, asset) in assets() {
            for asked in references(path, asset) {
                assert!(find(&asked).is_some(), "{path} asks for {asked}");
            }
            let is_script = path.ends_with(".js");
            assert!(!is_script || !asset.text().lines().any(|line| line.starts_with("import ")), "{path}");
        }
    }

    #[test]
    fn the_embedded_player_weighs_little() {
        let mut awaited = vec!["embed.html".to_owned()];
        let mut fetched = BTreeSet::new();
        while let Some(path) = awaited.pop() {
            let asset = find(&path).unwrap_or_else(|| panic!("no {path}"));
            awaited.extend(references(&path, asset).into_iter().filter(|asked| !fetched.contains(asked)));
            fetched.insert(path);
        }
        assert!(fetched.contains("worker.js") && fetched.contains("media/worklet.js"), "{fetched:?}");
        let weigh =
            |coding| fetched.iter().filter_map(|path| find(path)).map(|asset| asset.compressed(coding).len()).sum();
        let [brotli, gzip]: [usize; 2] = Coding::ALL.map(weigh);
        println!("{brotli} bytes, {gzip} by gzip, in {} files", fetched.len());
        assert!(brotli <= MAX_EMBED, "{brotli} bytes");
    }

    /// The files that a page or a script has fetched: their paths relative to `player/`.
    fn references(path: &str, asset: &Asset) -> Vec<String> {
        let quoted = |text: &str| text.split('"').next().unwrap_or_default().to_owned();
        let pages = asset.text().split("\"/player/").skip(1).map(quoted);
        let pages = pages.filter(|file| TYPES.iter().any(|(end, _)| file.ends_with(end)));
        // `new URL("./x.js", new URL("part.js", import.meta.url))`
        let scripts = asset.text().split(", new URL(\"").collect::<Vec<_>>();
        let scripts = scripts.windows(2).map(|pair| {
            let file = pair[0].trim_end_matches('"').rsplit('"').next().unwrap_or_default();
            resolve(&resolve(path, &quoted(pair[1])), file)
        });
        pages.chain(scripts).collect()
    }
}
