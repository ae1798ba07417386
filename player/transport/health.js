// @ts-check
/**
 * Whether a connection carries what it should, by the flow of media and of answers, not by what its socket says: a socket that
 * nobody is at the other end of looks well for minutes. Without a clock.
 * @module
 */

/** Least and most time that an answer may take, in milliseconds; between them, three round trips. */
export const LEAST_PATIENCE_MS = 600;
export const MOST_PATIENCE_MS = 2000;
/** Pictures that are given up for so long, while none comes whole, can't be carried by this connection, in milliseconds. */
export const STARVED_MS = 4000;
/** A connection is not complained of for that before it is so old, in milliseconds: what fails everywhere is not tried everywhere. */
export const STARVING_FROM_MS = 20_000;
/** After so long without any media nobody sends, in milliseconds. */
export const QUIET_MS = 4000;

/** One connection's. */
export class Health {
	#beganAt;
	#mediaAt;
	#pictureAt;
	/** When pictures were given up last. */
	#gapAt = -Infinity;

	/** @param {number} now when it began to deliver */
	constructor(now) {
		this.#beganAt = this.#mediaAt = this.#pictureAt = now;
	}

	/**
	 * What was not wanted for a while is wanted again.
	 *
	 * @param {number} now
	 */
	handleWanted(now) {
		this.#mediaAt = this.#pictureAt = now;
	}

	/**
	 * Media has come.
	 *
	 * @param {number} now
	 * @param {boolean} isVideo
	 */
	handleMedia(now, isVideo) {
		this.#mediaAt = now;
		if (isVideo) this.#pictureAt = now;
	}

	/**
	 * The gateway has given up pictures.
	 *
	 * @param {number} now
	 */
	handleGap(now) {
		this.#gapAt = now;
	}

	/**
	 * What is wrong with it.
	 *
	 * @param {number} now
	 * @param {{ unansweredMs: number, rttMs?: number, wantsPictures: boolean }} situation
	 * @returns {string | undefined} nothing when all is well
	 */
	complaint(now, { unansweredMs, rttMs = 0, wantsPictures }) {
		const patience = Math.min(Math.max(3 * rttMs, LEAST_PATIENCE_MS), MOST_PATIENCE_MS);
		if (unansweredMs > patience) return "no answer";
		const isStarving = this.#gapAt > this.#pictureAt && now - this.#pictureAt > STARVED_MS;
		return wantsPictures && isStarving && now - this.#beganAt > STARVING_FROM_MS ? "no pictures get through" : undefined;
	}

	/**
	 * Whether nobody sends, though the connection may be well.
	 *
	 * @param {number} now
	 */
	isQuiet(now) {
		return now - this.#mediaAt > QUIET_MS;
	}
}
