// @ts-check
/**
 * The times in fragmented MP4.
 *
 * Defined by: ISO/IEC 14496-12, §4.2, §8.4.2 (`mdhd`), §8.8.12 (`tfdt`).
 * @module
 */

/** Boxes that hold boxes on the way to the times. */
const CONTAINERS = Object.freeze(["moov", "trak", "mdia", "moof", "traf"]);

/**
 * Ticks a second of an initialization segment's track.
 *
 * @param {Uint8Array} segment
 * @returns {number | undefined} nothing when it says none
 */
export function readTimescale(segment) {
	const view = findBox(segment, "mdhd");
	const at = view && view.byteLength > 0 && view.getUint8(0) === 1 ? 20 : 12;
	return view && view.byteLength >= at + 4 ? view.getUint32(at) || undefined : undefined;
}

/**
 * When a media segment begins, in its track's ticks.
 *
 * @param {Uint8Array} segment
 * @returns {number | undefined} nothing when it does not say
 */
export function readDecodeTime(segment) {
	const view = findBox(segment, "tfdt");
	if (!view || view.byteLength < 8) return undefined;
	if (view.getUint8(0) === 0) return view.getUint32(4);
	return view.byteLength < 12 ? undefined : Number(view.getBigUint64(4));
}

/**
 * The body of the first box of a name.
 *
 * @param {Uint8Array} bytes
 * @param {string} wanted
 * @returns {DataView | undefined}
 */
function findBox(bytes, wanted) {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	for (let at = 0; at + 8 <= bytes.length; ) {
		const length = view.getUint32(at);
		const name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
		if (length < 8 || at + length > bytes.length) return undefined;
		if (name === wanted) return new DataView(bytes.buffer, bytes.byteOffset + at + 8, length - 8);
		// The way is no deeper than the names of it, so that a peer's nesting is of no effect.
		if (CONTAINERS.includes(name)) bytes = bytes.subarray(0, at + length);
		at += CONTAINERS.includes(name) ? 8 : length;
	}
	return undefined;
}
