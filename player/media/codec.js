// @ts-check
/**
 * Configuration records → what WebCodecs wants to know.
 *
 * | what | specification |
 * |---|---|
 * | AVCDecoderConfigurationRecord | ISO/IEC 14496-15, §5.3.3.1 |
 * | AudioSpecificConfig | ISO/IEC 14496-3, §1.6.2.1 |
 * | codec strings | RFC 6381, §3.3 |
 * @module
 */

const SAMPLE_RATES = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];
const RATE_IS_WRITTEN_OUT = 15;
const CHANNELS = [undefined, 1, 2, 3, 4, 5, 6, 8];
const OBJECT_TYPE_ESCAPE = 31;
const OBJECT_TYPE_SBR = 5;
const OBJECT_TYPE_PS = 29;

/**
 * Reads an `avcC`.
 *
 * @param {Uint8Array} record
 * @returns {VideoDecoderConfig | undefined} nothing when it is none
 */
export function avcConfig(record) {
	if (record.length < 7 || record[0] !== 1) return undefined;
	const hex = [...record.subarray(1, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
	return { codec: `avc1.${hex}`, description: record.slice(), optimizeForLatency: true };
}

/**
 * Reads an AudioSpecificConfig.
 *
 * @param {Uint8Array} record
 * @returns {AudioDecoderConfig | undefined} nothing when it is none
 */
export function aacConfig(record) {
	const bits = new Bits(record);
	const objectType = readObjectType(bits);
	let sampleRate = readSampleRate(bits);
	let numberOfChannels = CHANNELS[bits.read(4)];
	if (objectType === OBJECT_TYPE_SBR || objectType === OBJECT_TYPE_PS) {
		// Spectral band replication doubles the rate of the core, parametric stereo its one channel.
		sampleRate = readSampleRate(bits);
		if (objectType === OBJECT_TYPE_PS) numberOfChannels = 2;
	}
	if (bits.exhausted || !sampleRate || !numberOfChannels || objectType === 0) return undefined;
	return { codec: `mp4a.40.${objectType}`, sampleRate, numberOfChannels, description: record.slice() };
}

/** @param {Bits} bits */
function readObjectType(bits) {
	const type = bits.read(5);
	return type === OBJECT_TYPE_ESCAPE ? 32 + bits.read(6) : type;
}

/**
 * @param {Bits} bits
 * @returns {number | undefined}
 */
function readSampleRate(bits) {
	const index = bits.read(4);
	return index === RATE_IS_WRITTEN_OUT ? bits.read(24) : SAMPLE_RATES[index];
}

class Bits {
	#bytes;
	#at = 0;

	/** @param {Uint8Array} bytes */
	constructor(bytes) {
		this.#bytes = bytes;
	}

	/** @param {number} count */
	read(count) {
		let value = 0;
		for (let i = 0; i < count; i++, this.#at++) {
			value = value * 2 + (((this.#bytes[this.#at >> 3] ?? 0) >> (7 - (this.#at & 7))) & 1);
		}
		return value;
	}

	/** Whether more was read than there was. */
	get exhausted() {
		return this.#at > this.#bytes.length * 8;
	}
}
