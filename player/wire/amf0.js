// @ts-check
/**
 * AMF0 values, as RTMP commands carry them: bytes ↔ JS values.
 *
 * Objects and ECMA arrays become objects without a prototype, so that no name a peer chooses means anything to JS.
 * Depth and number of values are bounded: a few bytes could otherwise exhaust the stack or the memory.
 *
 * Defined by: Action Message Format, AMF 0 (Adobe, 2007).
 * @module
 */

import { Malformed } from "./vlu.js";

/** First byte of each value. */
export const Marker = Object.freeze({
	NUMBER: 0x00,
	BOOLEAN: 0x01,
	STRING: 0x02,
	OBJECT: 0x03,
	NULL: 0x05,
	UNDEFINED: 0x06,
	ECMA_ARRAY: 0x08,
	OBJECT_END: 0x09,
	STRICT_ARRAY: 0x0a,
	DATE: 0x0b,
	LONG_STRING: 0x0c,
	UNSUPPORTED: 0x0d,
	XML: 0x0f,
	TYPED_OBJECT: 0x10,
});

/** How deep values may nest: honest commands nest three deep. */
export const MAX_DEPTH = 16;
/** How many values one message may hold: honest ones hold under a hundred. */
export const MAX_VALUES = 4096;

/** @typedef {number | boolean | string | null | undefined | Date | AmfArray | AmfObject} AmfValue */
/** @typedef {AmfValue[]} AmfArray */
/** @typedef {{ [name: string]: AmfValue }} AmfObject */

/**
 * Reads all values up to the end of the bytes.
 *
 * @param {Uint8Array} bytes
 * @returns {AmfValue[]}
 * @throws {Malformed} when a value is cut short, unknown, too deep, or when there are too many
 */
export function decodeAmf(bytes) {
	const reader = new Reader(bytes);
	const values = [];
	while (!reader.atEnd) values.push(reader.value(0));
	return values;
}

/**
 * Writes values one after the other.
 *
 * @param {...AmfValue} values
 * @returns {Uint8Array}
 */
export function encodeAmf(...values) {
	/** @type {number[]} */
	const out = [];
	for (const value of values) pushValue(out, value);
	return Uint8Array.from(out);
}

/**
 * Whether a value is an object with named members.
 *
 * @param {AmfValue} value
 * @returns {value is AmfObject}
 */
export function isObject(value) {
	return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

class Reader {
	#bytes;
	#view;
	#at = 0;
	#values = 0;

	/** @param {Uint8Array} bytes */
	constructor(bytes) {
		this.#bytes = bytes;
		this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	}

	get atEnd() {
		return this.#at === this.#bytes.length;
	}

	/**
	 * @param {number} depth
	 * @returns {AmfValue}
	 */
	value(depth) {
		if (depth > MAX_DEPTH) throw new Malformed("values nest too deep");
		if (++this.#values > MAX_VALUES) throw new Malformed("too many values");
		const marker = this.#bytes[this.#take(1)];
		switch (marker) {
			case Marker.NUMBER:
				return this.#view.getFloat64(this.#take(8));
			case Marker.BOOLEAN:
				return this.#bytes[this.#take(1)] !== 0;
			case Marker.STRING:
				return this.#text(this.#view.getUint16(this.#take(2)));
			case Marker.LONG_STRING:
			case Marker.XML:
				return this.#text(this.#view.getUint32(this.#take(4)));
			case Marker.OBJECT:
				return this.#members(depth);
			case Marker.ECMA_ARRAY:
				// The count is a hint that encoders get wrong; the end marker counts.
				this.#take(4);
				return this.#members(depth);
			case Marker.TYPED_OBJECT:
				this.#text(this.#view.getUint16(this.#take(2)));
				return this.#members(depth);
			case Marker.STRICT_ARRAY:
				return this.#elements(this.#view.getUint32(this.#take(4)), depth);
			case Marker.DATE: {
				const date = new Date(this.#view.getFloat64(this.#take(8)));
				this.#take(2);
				return date;
			}
			case Marker.NULL:
				return null;
			case Marker.UNDEFINED:
			case Marker.UNSUPPORTED:
				return undefined;
			default:
				throw new Malformed(`a value of unknown kind ${marker}`);
		}
	}

	/** @param {number} depth */
	#members(depth) {
		/** @type {AmfObject} */
		const object = Object.create(null);
		for (;;) {
			const name = this.#text(this.#view.getUint16(this.#take(2)));
			if (name === "" && this.#bytes[this.#at] === Marker.OBJECT_END) {
				this.#take(1);
				return object;
			}
			object[name] = this.value(depth + 1);
		}
	}

	/**
	 * @param {number} count
	 * @param {number} depth
	 */
	#elements(count, depth) {
		/** @type {AmfValue[]} */
		const elements = [];
		for (let i = 0; i < count; i++) elements.push(this.value(depth + 1));
		return elements;
	}

	/** @param {number} length */
	#text(length) {
		const from = this.#take(length);
		return new TextDecoder().decode(this.#bytes.subarray(from, from + length));
	}

	/**
	 * Moves on and says where the taken bytes begin.
	 *
	 * @param {number} length
	 */
	#take(length) {
		const from = this.#at;
		if (length > this.#bytes.length - from) throw new Malformed("a value is cut short");
		this.#at += length;
		return from;
	}
}

/**
 * @param {number[]} out
 * @param {AmfValue} value
 */
function pushValue(out, value) {
	if (typeof value === "number") {
		const number = new DataView(new ArrayBuffer(8));
		number.setFloat64(0, value);
		out.push(Marker.NUMBER, ...new Uint8Array(number.buffer));
	} else if (typeof value === "boolean") {
		out.push(Marker.BOOLEAN, value ? 1 : 0);
	} else if (typeof value === "string") {
		const text = new TextEncoder().encode(value);
		if (text.length > 0xffff) out.push(Marker.LONG_STRING, text.length >>> 24, (text.length >>> 16) & 0xff);
		else out.push(Marker.STRING);
		out.push((text.length >>> 8) & 0xff, text.length & 0xff, ...text);
	} else if (value === null) {
		out.push(Marker.NULL);
	} else if (value === undefined) {
		out.push(Marker.UNDEFINED);
	} else if (Array.isArray(value)) {
		out.push(Marker.STRICT_ARRAY, 0, 0, value.length >>> 8, value.length & 0xff);
		for (const element of value) pushValue(out, element);
	} else if (value instanceof Date) {
		const date = new DataView(new ArrayBuffer(10));
		date.setFloat64(0, value.getTime());
		out.push(Marker.DATE, ...new Uint8Array(date.buffer));
	} else {
		out.push(Marker.OBJECT);
		for (const [name, member] of Object.entries(value)) {
			const text = new TextEncoder().encode(name);
			out.push(text.length >>> 8, text.length & 0xff, ...text);
			pushValue(out, member);
		}
		out.push(0, 0, Marker.OBJECT_END);
	}
}
