// @ts-check

/** Share of a new sample in the smoothed one. */
const GAIN = 1 / 16;

/** How far pictures are from the sound, smoothed. */
export class Skew {
	/** @type {number | undefined} Positive while pictures are late, in milliseconds; nothing before any was shown. */
	ms;

	/**
	 * A frame is shown.
	 *
	 * @param {number} position the stream time that is heard then
	 * @param {number} time of the frame
	 */
	handleShown(position, time) {
		const sample = position - time;
		this.ms = this.ms === undefined ? sample : this.ms + (sample - this.ms) * GAIN;
	}

	/** Forgets it. */
	reset() {
		this.ms = undefined;
	}
}
