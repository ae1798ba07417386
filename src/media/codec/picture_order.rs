//! H.264: the order of pictures, where an encoder has not said that it's the order in which they are sent.
//!
//! | specification | section |
//! |---|---|
//! | ITU-T H.264 | §E.1.1, §E.2.1 (`bitstream_restriction`), §8.2.1 (picture order count) |
//! | ISO/IEC 14496-15 | §5.3.3.1 (the record) |
//!
//! Without a word about it, a decoder may keep as many pictures back as the level allows before it shows the first: a delay that
//! no player can see or shorten. Some of those in hardware do; those in software of Chromium and Firefox do not.

use h264_reader::nal::sps::{BitstreamRestrictions, PicOrderCntType, SeqParameterSet};
use h264_reader::nal::{NalHeader, WritableNal};
use h264_reader::rbsp::{BitReader, decode_nal};

use super::avc::{Configuration, MAX_SPS_LEN};

/// Bytes of an AVCDecoderConfigurationRecord before its first parameter set's length.
const SETS_AT: usize = 6;

/// A configuration that says that pictures are shown in the order in which they come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// The AVCDecoderConfigurationRecord.
    pub record: Vec<u8>,
    /// Whether the one it was made from allows nothing else: its kind of picture order count knows no other order. If not,
    /// it's for who has seen the stream to know.
    pub is_certain: bool,
}

/// Completes an AVCDecoderConfigurationRecord.
///
/// `None` where there is nothing to complete, or where that could be wrong: with more than one parameter set, or one in which
/// there is something that isn't understood.
pub fn declare(record: &[u8]) -> Option<Declared> {
    let configuration = Configuration::read(record).ok()?;
    let &[.., count] = record.get(..SETS_AT)? else { return None };
    let sps = configuration.sps;
    if count & 0x1f != 1 || sps.len() > MAX_SPS_LEN {
        return None;
    }
    let header = NalHeader::new(*sps.first()?).ok()?;
    let mut set = read(sps)?;
    // What is not written as it was read would be lost.
    if set.to_vec_with_header(header) != sps {
        return None;
    }
    let (is_certain, frames) = (matches!(set.pic_order_cnt, PicOrderCntType::TypeTwo), set.max_num_ref_frames);
    let vui = set.vui_parameters.get_or_insert_default();
    if vui.bitstream_restrictions.is_some() {
        return None;
    }
    // What holds without a word about it, but for the last two.
    vui.bitstream_restrictions = Some(BitstreamRestrictions {
        motion_vectors_over_pic_boundaries_flag: true,
        max_bytes_per_pic_denom: 2,
        max_bits_per_mb_denom: 1,
        log2_max_mv_length_horizontal: 15,
        log2_max_mv_length_vertical: 15,
        max_num_reorder_frames: 0,
        max_dec_frame_buffering: frames,
    });
    let declared = set.to_vec_with_header(header);
    // More frames than the level allows are refused here.
    read(&declared)?;
    let length = u16::try_from(declared.len()).ok()?.to_be_bytes();
    let rest = record.get(SETS_AT + length.len() + sps.len()..)?;
    let record = [&record[..SETS_AT], &length, &declared, rest].concat();
    Some(Declared { record, is_certain })
}

fn read(sps: &[u8]) -> Option<SeqParameterSet> {
    let payload = decode_nal(sps).ok()?;
    SeqParameterSet::from_bits(BitReader::new(&*payload)).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::media::codec::avc;

    /// A record of `avc::tests::RECORD`'s parameter set without the restriction, and with another kind of picture order count.
    pub(crate) fn undeclared(order: PicOrderCntType) -> Vec<u8> {
        let record = avc::tests::RECORD;
        let sps = Configuration::read(record).unwrap().sps;
        let mut set = read(sps).unwrap();
        set.pic_order_cnt = order;
        set.vui_parameters.as_mut().unwrap().bitstream_restrictions = None;
        let without = set.to_vec_with_header(NalHeader::new(sps[0]).unwrap());
        let length = u16::try_from(without.len()).unwrap().to_be_bytes();
        [&record[..SETS_AT], &length, &without, &record[SETS_AT + 2 + sps.len()..]].concat()
    }

    pub(crate) const UNKNOWN: PicOrderCntType = PicOrderCntType::TypeZero { log2_max_pic_order_cnt_lsb_minus4: 2 };

    #[test]
    fn a_configuration_that_says_nothing_about_the_order_is_completed() {
        let Declared { record, is_certain } = declare(&undeclared(UNKNOWN)).unwrap();
        let configuration = Configuration::read(&record).unwrap();
        let restrictions = read(configuration.sps).unwrap().vui_parameters.unwrap().bitstream_restrictions.unwrap();
        assert_eq!(restrictions.max_num_reorder_frames, 0);
        assert!(!is_certain);
        assert_eq!(configuration.info(), Configuration::read(avc::tests::RECORD).unwrap().info());
        assert_eq!(record[configuration.len..], *b"\xfd\xf8\xf8\x00", "the extension stays");
    }

    #[test]
    fn a_picture_order_count_that_knows_one_order_alone_makes_it_certain() {
        assert!(declare(&undeclared(PicOrderCntType::TypeTwo)).unwrap().is_certain);
    }

    #[test]
    fn one_that_says_something_is_left_alone() {
        assert_eq!(declare(avc::tests::RECORD), None);
        assert_eq!(declare(&declare(&undeclared(UNKNOWN)).unwrap().record), None);
    }

    #[test]
    fn one_without_usability_information_gets_some() {
        let record = undeclared(UNKNOWN);
        let sps = Configuration::read(&record).unwrap().sps;
        let mut set = read(sps).unwrap();
        set.vui_parameters = None;
        let without = set.to_vec_with_header(NalHeader::new(sps[0]).unwrap());
        let length = u16::try_from(without.len()).unwrap().to_be_bytes();
        let record = [&record[..SETS_AT], &length, &without, &record[SETS_AT + 2 + sps.len()..]].concat();
        assert!(declare(&record).is_some());
    }

    #[test]
    fn every_prefix_is_left_alone() {
        let record = undeclared(UNKNOWN);
        let len = Configuration::read(&record).unwrap().len;
        assert!((0..len).all(|end| declare(&record[..end]).is_none()));
    }

    proptest! {
        #[test]
        fn no_damaged_record_panics(damage in prop::collection::vec((0..40usize, any::<u8>()), 1..6)) {
            let mut record = undeclared(UNKNOWN);
            for (at, byte) in damage {
                record[at] = byte;
            }
            declare(&record);
        }
    }
}
