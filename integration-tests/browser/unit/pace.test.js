// @ts-check
/** Delay control in virtual time: hours in milliseconds. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { FASTEST, JOIN_MS, JOIN_SKIP_MS, Playhead, SKIP_MS, SLOWEST, steer } from "../../../player/media/pace.js";
import { MAX_EXTRA_MS, Schedule } from "../../../player/media/schedule.js";

const FRAME_MS = 20;
const HOUR_MS = 3600_000;

/**
 * A viewer of one stream over one path.
 *
 * @typedef {object} Path
 * @property {number} [ppm] how much faster the publisher's clock is than the viewer's
 * @property {(ms: number) => number} [lateness] of what is sent then, in milliseconds
 * @property {(ms: number) => number} [jump] what is added to timestamps then, in milliseconds
 */

class Viewing {
	schedule = new Schedule();
	playhead = new Playhead();
	skips = 0;
	/** Delay behind the fastest path, over the time since the last look. */
	most = -Infinity;
	least = Infinity;
	#sent = 0;

	/**
	 * @param {number} until in milliseconds since the publisher began
	 * @param {Path} path
	 */
	play(until, { ppm = 0, lateness = () => 0, jump = () => 0 } = {}) {
		this.most = -Infinity;
		this.least = Infinity;
		let before = -Infinity;
		for (; this.#sent < until; this.#sent += FRAME_MS) {
			const timestamp = this.#sent * (1 + ppm / 1e6) + jump(this.#sent);
			// Nothing overtakes.
			const now = Math.max(1000 + this.#sent + lateness(this.#sent), before);
			before = now;
			this.schedule.handleReceived(now, "video", timestamp);
			const due = this.schedule.due(now);
			if (due !== undefined && this.playhead.steer(now, due) !== 0) this.skips++;
			const delay = (now - 1000) * (1 + ppm / 1e6) + jump(this.#sent) - (this.playhead.time(now) ?? NaN);
			this.most = Math.max(this.most, delay);
			this.least = Math.min(this.least, delay);
		}
		return this;
	}
}

/** @param {number} seed */
function random(seed) {
	return () => {
		seed = (seed * 1664525 + 1013904223) % 2 ** 32;
		return seed / 2 ** 32;
	};
}

for (const ppm of [-200, 200]) {
	test(`clocks that drift apart by ${ppm} ppm leave the delay as it is for three hours, without a skip`, () => {
		const viewing = new Viewing().play(60_000, { ppm });
		viewing.skips = 0;
		viewing.play(3 * HOUR_MS, { ppm });
		assert.equal(viewing.skips, 0);
		assert.ok(viewing.most < 75 && viewing.least > 30, `${viewing.least} to ${viewing.most} ms`);
	});
}

test("jitter in bursts is covered while it lasts, and forgotten: the delay does not grow in an hour", () => {
	const chance = random(7);
	const lateness = (/** @type {number} */ ms) => (ms % 60_000 > 50_000 ? 80 * chance() : 2 * chance());
	const viewing = new Viewing();
	for (let minute = 1; minute <= 60; minute++) {
		viewing.play(minute * 60_000 - 20_000, { lateness });
		assert.ok(viewing.most < 200, `${viewing.most} ms in minute ${minute}`);
		viewing.play(minute * 60_000 - 15_000, { lateness });
		assert.ok(viewing.most < 75, `still ${viewing.most} ms in minute ${minute}`);
		viewing.play(minute * 60_000, { lateness });
	}
	assert.equal(viewing.skips, 0);
});

test("a path that becomes longer and shorter again is followed, by pace where it is near and by a skip where it is far", () => {
	const near = new Viewing().play(20_000);
	near.play(60_000, { lateness: () => 150 });
	near.play(70_000).play(120_000);
	assert.equal(near.skips, 0);
	const far = new Viewing().play(20_000);
	far.play(60_000, { lateness: () => 900 });
	far.play(90_000);
	far.play(120_000);
	assert.ok(far.skips > 0 && far.skips < 6, `${far.skips} skips`);
	for (const { most } of [near, far]) assert.ok(most < 75, `${most} ms`);
});

test("stalls of any length leave no delay behind", () => {
	const viewing = new Viewing().play(20_000);
	let end = 20_000;
	for (const stall of [300, 1000, 3000, 10_000]) {
		const from = end;
		viewing.play(from + 30_000, { lateness: (ms) => Math.max(stall - (ms - from), 0) });
		end = from + 30_000;
		viewing.play(end + 5000);
		end += 5000;
		assert.ok(viewing.most < 160, `${viewing.most} ms after ${stall} ms`);
	}
});

test("timestamps that jump are followed at once", () => {
	for (const jump of [30_000, -30_000, 700]) {
		const viewing = new Viewing().play(20_000);
		viewing.play(27_000, { jump: () => jump });
		viewing.play(60_000, { jump: () => jump });
		assert.ok(viewing.most < 160, `${viewing.most} ms after ${jump} ms`);
	}
});

test("the delay is right a second after joining a group in its middle", () => {
	for (const group of [1000, 2000, 4000]) {
		const viewing = new Viewing();
		viewing.play(group + 100, { lateness: (ms) => Math.max(group - ms, 0) });
		viewing.play(group + 1000);
		assert.ok((viewing.playhead.time(group + 2000) ?? -Infinity) > group + 1000 - 160, `group of ${group} ms`);
	}
});

test("the pace stays within what nobody hears, and the target within its bound, whatever comes", () => {
	const chance = random(3);
	const viewing = new Viewing();
	viewing.schedule.setHint(150);
	let now = 0;
	for (let i = 0; i < 100_000; i++) {
		now += 100 * chance();
		viewing.schedule.handleReceived(now, chance() < 0.5 ? "audio" : "video", 1e6 * chance());
		viewing.playhead.steer(now, viewing.schedule.due(now) ?? 0);
		assert.ok(viewing.playhead.pace >= SLOWEST && viewing.playhead.pace <= FASTEST);
		assert.ok(viewing.schedule.target(now) <= 150 + MAX_EXTRA_MS);
	}
});

test("what is near is left alone, what is farther changes the pace, what is far is skipped", () => {
	const at = (/** @type {number} */ behind, pace = 1, sinceMs = 10_000) => steer({ position: 1000, pace, due: 1000 + behind, sinceMs });
	assert.deepEqual(at(10), { pace: 1 });
	assert.deepEqual(at(-10), { pace: 1 });
	assert.deepEqual(at(10, 1.02), { pace: 1.01 });
	assert.deepEqual(at(10, 0.98), { pace: 1 });
	assert.deepEqual(at(SKIP_MS), { pace: FASTEST });
	assert.deepEqual(at(-SKIP_MS), { pace: SLOWEST });
	assert.deepEqual(at(SKIP_MS + 1), { pace: 1, skipTo: 1000 + SKIP_MS + 1 });
	assert.deepEqual(at(JOIN_SKIP_MS + 1, 1, JOIN_MS - 1), { pace: 1, skipTo: 1000 + JOIN_SKIP_MS + 1 });
});

test("a playhead follows the sound while that leads, and goes on from there", () => {
	const playhead = new Playhead();
	playhead.steer(0, 500);
	playhead.follow(1000, 1400);
	assert.equal(playhead.time(1100), 1500);
	playhead.reset();
	assert.equal(playhead.time(1100), undefined);
});
