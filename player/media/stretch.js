// @ts-check
/**
 * Time stretching: takes a piece out of the sound, or plays one twice, where nobody hears it.
 *
 * The piece is as long as the sound takes to repeat itself, found by correlation, and its ends are blended into each other: the
 * pitch stays (waveform similarity overlap-add, as far as single splices go). Resampling would be simpler, but a twentieth of
 * the pace is most of a semitone.
 *
 * ```
 *  faster  ──────╲╱ lag ╲╱──────     slower  ──────── lag ╲╱ lag ────────
 *           blended with what is             blended with what was at the
 *           a lag further on                 lag's beginning, which comes again
 * ```
 * @module
 */

/** Shortest and longest piece, in milliseconds: a period or two of any voice. */
export const MIN_LAG_MS = 5;
export const MAX_LAG_MS = 12.5;
/** For so long the ends are blended, in milliseconds. */
export const BLEND_MS = 6;

/** The search looks at each of so many samples, before it looks closely. */
const COARSE = 4;
/** Below this energy a sample, it's silence, and any piece will do. */
const SILENCE = 1e-7;

/**
 * Splices the sound once.
 *
 * @param {Float32Array[]} planes what comes next, one a channel: {@link samplesNeeded}
 * @param {number} rate samples a second
 * @param {boolean} faster whether a piece is left out, or comes twice
 * @returns {{ planes: Float32Array[], consumed: number }} what to play in place of the first `consumed` samples
 */
export function splice(planes, rate, faster) {
	const blend = samples(rate, BLEND_MS);
	const lag = findLag(planes[0], blend, samples(rate, MIN_LAG_MS), samples(rate, MAX_LAG_MS));
	const consumed = faster ? lag + blend : blend;
	const spliced = planes.map((plane) => {
		const out = new Float32Array(faster ? blend : lag + blend);
		const at = faster ? 0 : lag;
		out.set(plane.subarray(0, at));
		const [from, to] = faster ? [0, lag] : [lag, 0];
		for (let i = 0; i < blend; i++) {
			const share = (i + 0.5) / blend;
			out[at + i] = plane[from + i] * (1 - share) + plane[to + i] * share;
		}
		return out;
	});
	return { planes: spliced, consumed };
}

/**
 * How many samples a splice looks at.
 *
 * @param {number} rate
 */
export function samplesNeeded(rate) {
	return samples(rate, MAX_LAG_MS) + samples(rate, BLEND_MS) + 1;
}

/**
 * The lag at which the sound is most like itself.
 *
 * @param {Float32Array} plane
 * @param {number} length of what is compared
 * @param {number} least
 * @param {number} most
 */
function findLag(plane, length, least, most) {
	const near = best(plane, length, least, most, COARSE);
	return best(plane, length, Math.max(near - COARSE + 1, least), Math.min(near + COARSE - 1, most), 1);
}

/**
 * @param {Float32Array} plane
 * @param {number} length
 * @param {number} least
 * @param {number} most
 * @param {number} step
 */
function best(plane, length, least, most, step) {
	let found = most;
	let likest = -Infinity;
	for (let lag = least; lag <= most; lag += step) {
		let product = 0;
		let energy = 0;
		for (let i = 0; i < length; i += step) {
			product += plane[i] * plane[lag + i];
			energy += plane[lag + i] ** 2;
		}
		const likeness = energy < SILENCE * length ? 0 : product / Math.sqrt(energy);
		if (likeness >= likest) [found, likest] = [lag, likeness];
	}
	return found;
}

/**
 * @param {number} rate
 * @param {number} ms
 */
function samples(rate, ms) {
	return Math.max(Math.round((rate * ms) / 1000), 1);
}
