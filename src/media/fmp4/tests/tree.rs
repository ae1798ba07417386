//! A file's boxes as text. Reads them by itself, since what has written them can't judge itself.

use std::fmt::Write;

/// One line a box: its name, its length, what it says.
pub(super) fn of(file: &[u8]) -> String {
    let mut out = String::new();
    boxes(file, 0, &mut out);
    out
}

fn boxes(mut input: &[u8], depth: usize, out: &mut String) {
    while let [a, b, c, d, rest @ ..] = input {
        let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        assert!((8..=input.len()).contains(&len), "a box of {len} bytes among {}", input.len());
        let (name, body) = (&rest[..4], &rest[4..len - 4]);
        write!(out, "{:indent$}{} {len}", "", name.escape_ascii(), indent = 2 * depth).unwrap();
        // Boxes with boxes inside, and where those begin.
        let inside = match name {
            b"moov" | b"trak" | b"mdia" | b"minf" | b"dinf" | b"stbl" | b"mvex" | b"moof" | b"traf" => Some(0),
            b"dref" | b"stsd" => Some(8),
            b"avc1" => Some(78),
            b"mp4a" => Some(28),
            _ => None,
        };
        let says = fields(name, body);
        writeln!(out, "{}{says}", if says.is_empty() { "" } else { ": " }).unwrap();
        if let Some(at) = inside {
            boxes(&body[at..], depth + 1, out);
        }
        input = &input[len..];
    }
    assert!(input.is_empty(), "bytes behind the last box");
}

fn u16_at(body: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(body[at..at + 2].try_into().unwrap())
}

fn u32_at(body: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(body[at..at + 4].try_into().unwrap())
}

fn u64_at(body: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(body[at..at + 8].try_into().unwrap())
}

fn fields(name: &[u8], body: &[u8]) -> String {
    match name {
        b"ftyp" => {
            let brands: Vec<_> = body[8..].chunks(4).map(|brand| brand.escape_ascii().to_string()).collect();
            format!("{} for {}", body[..4].escape_ascii(), brands.join(", "))
        }
        b"mvhd" => format!("timescale {}, duration {}", u32_at(body, 20), u64_at(body, 24)),
        b"tkhd" => {
            let (width, height) = (u16_at(body, 88), u16_at(body, 92));
            format!("track {}, flags {}, volume {}, {width}×{height}", u32_at(body, 20), body[3], body[48])
        }
        b"mdhd" => format!("timescale {}, duration {}", u32_at(body, 20), u64_at(body, 24)),
        b"hdlr" => body[8..12].escape_ascii().to_string(),
        b"avc1" => format!("{}×{}", u16_at(body, 24), u16_at(body, 26)),
        b"mp4a" => format!("{} channels, {} Hz", u16_at(body, 16), u16_at(body, 24)),
        b"avcC" | b"esds" => hex(body),
        b"stts" | b"stsc" | b"stco" => format!("{} entries", u32_at(body, 4)),
        b"stsz" => format!("{} samples", u32_at(body, 8)),
        b"trex" => format!("track {}, description {}", u32_at(body, 4), u32_at(body, 8)),
        b"prft" => {
            let (seconds, fraction) = (u32_at(body, 8), u32_at(body, 12));
            let media = if body[0] == 0 { u32_at(body, 16).into() } else { u64_at(body, 16) };
            let of = u32_at(body, 4);
            format!("version {}, flags {}, track {of} is at {media} at {seconds} s, {fraction}", body[0], body[3])
        }
        b"mfhd" => format!("sequence {}", u32_at(body, 4)),
        b"tfhd" => format!("track {}, flags {:06x}", u32_at(body, 4), u32_at(body, 0)),
        b"tfdt" => format!("version {}, {}", body[0], u64_at(body, 4)),
        b"trun" => run(body),
        b"mdat" => body.escape_ascii().to_string(),
        _ => String::new(),
    }
}

fn run(body: &[u8]) -> String {
    let (flags, count) = (u32_at(body, 0), u32_at(body, 4));
    let mut says = format!("version {}, flags {:06x}, data at {}", body[0], flags & 0xff_ffff, u32_at(body, 8));
    let mut at = 12;
    let mut next = |is_there: bool| {
        let value = is_there.then(|| u32_at(body, at));
        at += if is_there { 4 } else { 0 };
        value
    };
    let first = next(flags & 0x4 != 0);
    for index in 0..count {
        let (duration, size) = (next(flags & 0x100 != 0), next(flags & 0x200 != 0));
        let of_sample = next(flags & 0x400 != 0).or(first.filter(|_| index == 0));
        let composition = next(flags & 0x800 != 0).map(|composition| composition as i32);
        let sync = of_sample.map(|flags| if flags & 0x1_0000 == 0 { "sync" } else { "not sync" });
        write!(says, "\n        sample of {} bytes, for {}", size.unwrap(), duration.unwrap()).unwrap();
        write!(says, ", shown {:+}, {}", composition.unwrap_or(0), sync.unwrap_or("by default")).unwrap();
    }
    says
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
