// @ts-check
/**
 * A live stream in the terms of HTML's media elements: what the worker says, as properties and events that are known.
 *
 * | what | specification |
 * |---|---|
 * | properties, events, their order | HTML, §4.8.11 (media elements) |
 *
 * `currentTime` is how much was played, in seconds: a live stream has no beginning that a viewer could go back to.
 * @module
 */

import { EventName, State } from "../names.js";

/** How much is there to be played, as in HTML. */
export const ReadyState = Object.freeze({ NOTHING: 0, METADATA: 1, CURRENT_DATA: 2, FUTURE_DATA: 3, ENOUGH_DATA: 4 });
/** What the network does, as in HTML. */
export const NetworkState = Object.freeze({ EMPTY: 0, IDLE: 1, LOADING: 2, NO_SOURCE: 3 });

/** A change of the delay that is worth an event, in milliseconds: what a person could notice. */
const DELAY_STEP_MS = 50;

/** @typedef {import("../viewer.js").Stats} Stats */

/** Each `handle…` returns the names of the events that are due, in their order. */
export class MediaState {
	paused = true;
	ended = false;
	/** @type {number} one of `ReadyState` */
	readyState = ReadyState.NOTHING;
	/** @type {number} one of `NetworkState` */
	networkState = NetworkState.EMPTY;
	/** One of `State`. @type {string} */
	state = State.CLOSED;
	/** @type {Stats | undefined} */
	stats;

	/** What was played before `#since`, in milliseconds. */
	#playedMs = 0;
	/** Since when it plays. @type {number | undefined} */
	#since;
	#delayMs = NaN;

	/** Somebody wants it to play. */
	handlePlay() {
		if (!this.paused) return [];
		this.paused = false;
		this.ended = false;
		return this.readyState > ReadyState.CURRENT_DATA ? [EventName.PLAY] : [EventName.PLAY, EventName.WAITING];
	}

	/** @param {number} now */
	handlePause(now) {
		if (this.paused) return [];
		this.#stopClock(now);
		this.paused = true;
		return [EventName.TIME_UPDATE, EventName.PAUSE];
	}

	/**
	 * @param {number} now
	 * @param {string} state one of `State`
	 * @param {string} [reason] where there is nothing to play, why, if not because nobody publishes
	 * @returns {string[]}
	 */
	handleState(now, state, reason = "") {
		if (state === this.state) return [];
		const before = this.state;
		this.state = state;
		if (state !== State.PLAYING) this.#stopClock(now);
		switch (state) {
			case State.CONNECTING:
				this.networkState = NetworkState.LOADING;
				return [EventName.STATE, EventName.LOAD_START];
			case State.PLAYING:
				return [EventName.STATE, ...this.#handlePlaying(now)];
			case State.WAITING:
				this.#starve();
				if (reason !== "") return [EventName.STATE, EventName.STALLED, EventName.WAITING];
				if (before !== State.PLAYING) return [EventName.STATE];
				this.ended = true;
				return [EventName.STATE, EventName.ENDED];
			case State.RECONNECTING:
				this.#starve();
				return [EventName.STATE, EventName.STALLED, EventName.WAITING];
			case State.CLOSED:
				return [EventName.STATE, ...this.#handleClosed()];
			default:
				return [EventName.STATE];
		}
	}

	/**
	 * @param {Stats} stats
	 * @returns {string[]}
	 */
	handleStats(stats) {
		const { width = 0, height = 0, transport } = this.stats ?? {};
		this.stats = stats;
		/** @type {string[]} */
		const events = [EventName.STATS];
		if (stats.width !== width || stats.height !== height) events.push(EventName.RESIZE);
		if (stats.transport !== transport) events.push(EventName.TRANSPORT_CHANGE);
		if (stats.delayMs !== undefined && !(Math.abs(stats.delayMs - this.#delayMs) < DELAY_STEP_MS)) {
			this.#delayMs = stats.delayMs;
			events.push(EventName.DELAY_CHANGE);
		}
		if (this.#since !== undefined) events.push(EventName.TIME_UPDATE);
		return events;
	}

	/**
	 * What was played, in seconds.
	 *
	 * @param {number} now
	 */
	currentTime(now) {
		return (this.#playedMs + (this.#since === undefined ? 0 : now - this.#since)) / 1000;
	}

	/** @param {number} now */
	#handlePlaying(now) {
		this.#since = now;
		this.ended = false;
		this.networkState = NetworkState.LOADING;
		const isFirst = this.readyState === ReadyState.NOTHING;
		this.readyState = ReadyState.ENOUGH_DATA;
		const loaded = isFirst ? [EventName.LOADED_METADATA, EventName.DURATION_CHANGE, EventName.LOADED_DATA] : [];
		return [...loaded, EventName.CAN_PLAY, EventName.PLAYING];
	}

	#handleClosed() {
		this.readyState = ReadyState.NOTHING;
		this.networkState = NetworkState.EMPTY;
		this.paused = true;
		this.ended = false;
		this.stats = undefined;
		this.#playedMs = 0;
		this.#delayMs = NaN;
		return [EventName.EMPTIED];
	}

	/** What was shown last is still to be seen. */
	#starve() {
		this.readyState = Math.min(this.readyState, ReadyState.CURRENT_DATA);
	}

	/** @param {number} now */
	#stopClock(now) {
		if (this.#since === undefined) return;
		this.#playedMs += now - this.#since;
		this.#since = undefined;
	}
}

/**
 * `TimeRanges` of at most one range.
 *
 * @param {number} start in seconds
 * @param {number} end
 * @returns {TimeRanges}
 */
export function timeRange(start, end) {
	const isEmpty = !(end > start);
	/** @param {number} index @param {number} value */
	const at = (index, value) => {
		if (isEmpty || index !== 0) throw new DOMException("there is no such range", "IndexSizeError");
		return value;
	};
	return { length: isEmpty ? 0 : 1, start: (index) => at(index, start), end: (index) => at(index, end) };
}
