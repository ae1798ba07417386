// @ts-check
/**
 * What a Media Source buffer needs: arithmetic on (position, buffered, due), without a clock. Times are milliseconds of the
 * buffer's time line.
 *
 * ```
 *   removed │◀─ KEEP_BEHIND_MS ─▶│ position        due ◀── target ──▶ live edge
 *  ─────────┴────────────────────▲─────────────────▲────────────────────┤
 *                                └── faster ──────▶┘   or a jump, when it is far
 * ```
 * @module
 */

import { paceFor } from "./pace.js";

/** Least target delay: browsers take pictures and sound out of the buffer in steps, and stall below. In milliseconds. */
export const MSE_TARGET_MS = 250;
/** Further than this from what is due, the position jumps there, in milliseconds. */
export const JUMP_MS = 700;
/** How long browsers take to begin where they are told to, in milliseconds: what is due goes on meanwhile. */
export const START_MS = 100;
/** How the pace follows what is due. @type {Readonly<import("./pace.js").Steering>} */
export const STEERING = Object.freeze({ farMs: 80, nearMs: 20, makeUpMs: 2000, step: 1 / 100 });
/** A hole up to this is none: browsers play over it. In milliseconds. */
export const HOLE_MS = 60;
/** What may stay behind the position before it is removed, and what stays then, in milliseconds. */
export const MOST_BEHIND_MS = 15_000;
export const KEEP_BEHIND_MS = 5000;
/** What stays behind the position when the browser has no room: decoders need the group that is played. In milliseconds. */
export const KEEP_WHEN_FULL_MS = 1000;

/** @typedef {{ start: number, end: number }} Range */

/**
 * What to do with the position, and at which pace to go on.
 *
 * @param {object} situation
 * @param {boolean} situation.started whether it plays
 * @param {number} situation.position
 * @param {number} situation.pace the present one
 * @param {Range[]} situation.buffered what all tracks have, in order
 * @param {number | undefined} situation.due what is to be seen now
 * @returns {{ seekTo?: number, pace: number }} before the start, a place to seek to means to start there
 */
export function steer({ started, position, pace, buffered, due }) {
	const newest = buffered.at(-1);
	if (!newest || due === undefined) return { pace: 1 };
	const place = (/** @type {number} */ time) => Math.min(Math.max(time, newest.start), newest.end - HOLE_MS);
	const wanted = place(due);
	if (!started) return due >= newest.start && wanted >= newest.start ? { seekTo: place(due + START_MS), pace: 1 } : { pace: 1 };
	const range = buffered.find(({ start, end }) => position >= start - HOLE_MS && position < end - HOLE_MS / 2);
	const next = buffered.find(({ start }) => start > position);
	// Nothing will come into a hole: what is behind it is next, once it is due.
	if (!range && next) return next.start <= due ? { seekTo: Math.max(next.start, next === newest ? wanted : 0), pace: 1 } : { pace: 1 };
	const behind = due - position;
	// A jump to where nothing is better would only be a stall.
	if (Math.abs(behind) > JUMP_MS && Math.abs(wanted - position) > JUMP_MS / 2) return { seekTo: wanted, pace: 1 };
	return { pace: paceFor(behind, pace, STEERING) };
}

/**
 * Up to where a buffer is to be emptied.
 *
 * @param {object} situation
 * @param {number} situation.start of what is buffered
 * @param {number} situation.position
 * @param {boolean} situation.isFull whether the browser has refused to take more
 * @returns {number | undefined} nothing when nothing can go
 */
export function removeBefore({ start, position, isFull }) {
	const end = position - (isFull ? KEEP_WHEN_FULL_MS : KEEP_BEHIND_MS);
	return end > start && (isFull || position - start > MOST_BEHIND_MS) ? end : undefined;
}

/** A track that goes on this much earlier or later than it was may have jumped, in milliseconds. */
export const LEAP_MS = 3000;
/** Within this of the other track it has not, in milliseconds: who goes on after a gap gets pictures from a group's first on, but no old sound. */
export const SAME_LINE_MS = 15_000;

/** @typedef {{ newest: number, offset: number }} Place */

/** The tracks' time lines, made one that goes on where theirs jump. */
export class Leaps {
	/** @type {Map<string, Place>} By track; the newest time is that of the buffer. */
	#places = new Map();

	/**
	 * What is to be added to a time of a track.
	 *
	 * @param {string} track
	 * @param {number} time
	 * @returns {number}
	 */
	offset(track, time) {
		const own = this.#places.get(track);
		const offset = this.#offset(own, time);
		this.#places.set(track, { newest: time + offset, offset });
		return offset;
	}

	/**
	 * @param {Place | undefined} own
	 * @param {number} time
	 */
	#offset(own, time) {
		if (own && isNear(own, time, LEAP_MS)) return own.offset;
		const others = [...this.#places.values()].filter((place) => place !== own);
		const same = others.find((place) => isNear(place, time, own ? SAME_LINE_MS : Infinity));
		if (same) return same.offset;
		return own ? Math.max(own.newest, ...others.map(({ newest }) => newest)) + HOLE_MS - time : 0;
	}
}

/**
 * @param {Place} place
 * @param {number} time
 * @param {number} distance
 */
function isNear({ newest, offset }, time, distance) {
	return Math.abs(time + offset - newest) <= distance;
}
