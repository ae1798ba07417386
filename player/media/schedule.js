// @ts-check
/**
 * When a frame is due: arithmetic on (now, received, target), without a clock.
 *
 * A frame's transit is the time of its arrival minus its timestamp. The least transit of the last seconds is the
 * fastest path there is now; how much later a frame came than by that path is its lateness. A frame is shown
 * `target` after the moment at which the fastest path would have brought it:
 *
 * ```
 *  timestamp ──── least transit ────┬── lateness ──┬──── spare ────▶ due
 *                                   └──────────── target ──────────┘
 * ```
 *
 * The target follows the lateness that is seen and the round trip, which is what a lost packet costs, between a floor and the
 * hint of the gateway and a little more. So a calm path is given less than the hint, and the delay never grows with time:
 * whoever is behind `due` is brought there.
 * @module
 */

/** Target delay when the gateway gives no hint, in milliseconds. */
export const DEFAULT_TARGET_MS = 150;
/** Least target: decoding and the steps in which audio is taken need this much. In milliseconds. */
export const MIN_TARGET_MS = 50;
/** What lateness may add to the hint, in milliseconds: the rest is a stall, that no buffer should be grown for. */
export const MAX_EXTRA_MS = 200;
/** Spare time on top of the lateness that was seen, in milliseconds. */
export const SPARE_MS = 30;
/** Share of the round trip that is spare time, too: losses that no lateness was seen of yet will cost more than that. */
export const ROUND_TRIP_SHARE = 1 / 8;

/** The least transit is that of one or two of these, in milliseconds. */
const WINDOW_MS = 2500;
/** In this time half of the lateness is forgotten, in milliseconds. */
const HALF_LIFE_MS = 5000;
/** A track whose time steps back this far, for so long, has begun anew, in milliseconds; else it's an old group once more. */
const DISCONTINUITY_MS = 1000;
const REPLAY_MS = 500;
/** For so long a track that begins, or catches up, teaches nothing: decoders start, and pages load. In milliseconds. */
const SETTLE_MS = 500;
/** A track that is still late after this time is not catching up, but is that late. In milliseconds. */
const CATCH_UP_MS = 1500;
/** What an underrun that lateness does not explain adds to it, in milliseconds. */
const UNDERRUN_STEP_MS = 25;

/**
 * `lateSince`: when it began to catch up; nothing once it has. `backSince`: when its time stepped back.
 *
 * @typedef {{ newest: number, lateSince: number | undefined, backSince: number | undefined }} Track
 */

/** The schedule of one stream. */
export class Schedule {
	#leastTarget;
	#hint = DEFAULT_TARGET_MS;
	/** Least transits of the present window and of the one before. */
	#least = Infinity;
	#leastBefore = Infinity;
	#windowEnds = -Infinity;

	#roundTrip = 0;
	#lateness = firstLateness(DEFAULT_TARGET_MS);
	/** When that was; it is not forgotten before the first frame. */
	#latenessAt = Infinity;
	/** @type {Map<string, Track>} */
	#tracks = new Map();

	/** @param {number} [leastTarget] in milliseconds */
	constructor(leastTarget = MIN_TARGET_MS) {
		this.#leastTarget = leastTarget;
	}

	/**
	 * Takes the gateway's hint for the target delay.
	 *
	 * @param {number} ms
	 */
	setHint(ms) {
		if (!Number.isFinite(ms) || ms < 0) return;
		this.#hint = ms;
		this.#setLateness(Infinity, firstLateness(ms));
	}

	/**
	 * Takes the round-trip time.
	 *
	 * @param {number} ms
	 */
	setRoundTrip(ms) {
		this.#roundTrip = ms;
	}

	/**
	 * What comes next is the newest group from its beginning: it teaches nothing.
	 *
	 * @param {number} now
	 */
	settle(now) {
		for (const track of this.#tracks.values()) track.lateSince = now;
	}

	/** Forgets the path but not the lateness: what comes next is on another time line. */
	reset() {
		this.#least = this.#leastBefore = Infinity;
		this.#windowEnds = -Infinity;
		this.#tracks.clear();
	}

	/**
	 * Notes the arrival of a frame.
	 *
	 * @param {number} now
	 * @param {string} name of its track
	 * @param {number} timestamp decode time
	 * @returns {boolean} whether the stream has begun anew with it
	 */
	handleReceived(now, name, timestamp) {
		const isNew = this.#hasBegunAnew(now, name, timestamp);
		if (isNew) this.reset();
		/** @type {Track} */
		const track = this.#tracks.get(name) ?? { newest: timestamp, lateSince: now, backSince: undefined };
		this.#tracks.set(name, track);
		track.newest = Math.max(track.newest, timestamp);

		const transit = now - timestamp;
		if (now >= this.#windowEnds) {
			this.#leastBefore = this.#least;
			this.#least = Infinity;
			this.#windowEnds = now + WINDOW_MS;
		}
		this.#least = Math.min(this.#least, transit);
		this.#handleLateness(now, track, transit - this.#leastTransit);
		return isNew;
	}

	/**
	 * Audio ran out.
	 *
	 * @param {number} now
	 */
	handleUnderrun(now) {
		this.#setLateness(now, Math.min(this.#latenessNow(now) + UNDERRUN_STEP_MS, this.#most - SPARE_MS));
	}

	/**
	 * The time in the stream that is due by the wall clock.
	 *
	 * @param {number} now
	 * @returns {number | undefined} nothing before anything has come
	 */
	due(now) {
		const edge = this.edge(now);
		return edge === undefined ? undefined : edge - this.target(now);
	}

	/**
	 * The time in the stream that the fastest path brings now.
	 *
	 * @param {number} now
	 * @returns {number | undefined} nothing before anything has come
	 */
	edge(now) {
		return this.#leastTransit === Infinity ? undefined : now - this.#leastTransit;
	}

	/**
	 * How long after the fastest path a frame is due, in milliseconds.
	 *
	 * @param {number} now
	 * @returns {number}
	 */
	target(now) {
		const spare = SPARE_MS + this.#roundTrip * ROUND_TRIP_SHARE;
		return Math.min(Math.max(this.#latenessNow(now) + spare, this.#leastTarget), this.#most);
	}

	get #leastTransit() {
		return Math.min(this.#least, this.#leastBefore);
	}

	get #most() {
		return Math.max(this.#hint, this.#leastTarget) + MAX_EXTRA_MS;
	}

	/**
	 * @param {number} now
	 * @param {string} name
	 * @param {number} timestamp
	 */
	#hasBegunAnew(now, name, timestamp) {
		const track = this.#tracks.get(name);
		if (!track) return false;
		const isBack = timestamp < track.newest - DISCONTINUITY_MS;
		track.backSince = isBack ? (track.backSince ?? now) : undefined;
		return now - (track.backSince ?? now) > REPLAY_MS;
	}

	/**
	 * Old frames of a group that was joined are late, and so are those that pile up in a stall: neither says how
	 * late frames will be from now on. A track's lateness counts from when it has caught up.
	 *
	 * @param {number} now
	 * @param {Track} track
	 * @param {number} lateness
	 */
	#handleLateness(now, track, lateness) {
		if (this.#latenessAt === Infinity) this.#latenessAt = now;
		const known = this.#latenessNow(now);
		const settling = now - (track.lateSince ?? now);
		if (lateness > this.#most) track.lateSince = now;
		else if (settling > (lateness <= known ? SETTLE_MS : CATCH_UP_MS)) track.lateSince = undefined;
		if (track.lateSince === undefined && lateness > known) this.#setLateness(now, lateness);
	}

	/**
	 * @param {number} now
	 * @param {number} lateness
	 */
	#setLateness(now, lateness) {
		this.#lateness = lateness;
		this.#latenessAt = now;
	}

	/** @param {number} now */
	#latenessNow(now) {
		return this.#lateness * 2 ** (-Math.max(now - this.#latenessAt, 0) / HALF_LIFE_MS);
	}
}

/**
 * What is taken for the lateness before any has been seen: a third of the hint is the first target.
 *
 * @param {number} hint
 */
function firstLateness(hint) {
	return Math.max(hint / 3 - SPARE_MS, 0);
}
