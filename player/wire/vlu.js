// @ts-check
/**
 * Variable-length unsigned integers: seven bits a byte, the most significant group first, bit 7 set on all bytes but the last.
 *
 * Defined by: RFC 7016, §2.1.2.
 * @module
 */

/** What a peer sent is not RTWebSocket: the connection is of no more use. */
export class Malformed extends Error {
	name = "Malformed";
}

/**
 * Reads one number.
 * A value that a JS number cannot hold exactly is read as `Number.MAX_SAFE_INTEGER`: no honest peer sends one.
 *
 * @param {Uint8Array} bytes
 * @param {number} at index of its first byte
 * @returns {{ value: number, end: number }} `end` is the index after its last byte
 * @throws {Malformed} when the bytes end inside it
 */
export function decodeVlu(bytes, at) {
	let value = 0;
	for (let i = at; i < bytes.length; i++) {
		value = Math.min(value * 128 + (bytes[i] & 0x7f), Number.MAX_SAFE_INTEGER);
		if (bytes[i] < 0x80) return { value, end: i + 1 };
	}
	throw new Malformed("a number is cut short");
}

/**
 * Appends the shortest form of a number.
 *
 * @param {number[]} out
 * @param {number} value a safe integer, not negative
 */
export function pushVlu(out, value) {
	const groups = [value % 128];
	for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) groups.push((rest % 128) | 0x80);
	for (const group of groups.reverse()) out.push(group);
}
