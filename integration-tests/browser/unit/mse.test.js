// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { MseTrack } from "../../../player/media/mse-track.js";
import { HOLE_MS, JUMP_MS, KEEP_BEHIND_MS, KEEP_WHEN_FULL_MS, LEAP_MS, Leaps, MOST_BEHIND_MS, removeBefore, SAME_LINE_MS, START_MS, steer } from "../../../player/media/mse-upkeep.js";
import { FASTEST, SLOWEST } from "../../../player/media/pace.js";

/** @param {Partial<Parameters<typeof steer>[0]>} situation */
const steered = (situation) => steer({ started: true, position: 5000, pace: 1, buffered: [{ start: 0, end: 5400 }], due: 5000, ...situation });

test("playing starts when the first of what is buffered is due, at what is due once it has begun", () => {
	assert.deepEqual(steered({ started: false, due: undefined }), { pace: 1 });
	assert.deepEqual(steered({ started: false, buffered: [] }), { pace: 1 });
	assert.deepEqual(steered({ started: false, due: -100 }), { pace: 1 });
	assert.deepEqual(steered({ started: false, due: 3000 }), { seekTo: 3000 + START_MS, pace: 1 });
	assert.deepEqual(steered({ started: false, due: 5390 }), { seekTo: 5400 - HOLE_MS, pace: 1 });
});

test("near the live edge nothing is done", () => {
	for (const due of [4930, 5000, 5070]) assert.deepEqual(steered({ due }), { pace: 1 }, String(due));
});

test("what is a little behind is caught up with, what is ahead waited for, until it is near", () => {
	assert.deepEqual(steered({ due: 5100 }), { pace: 1.05 });
	assert.deepEqual(steered({ due: 5600 }), { pace: FASTEST });
	assert.deepEqual(steered({ due: 4500 }), { pace: SLOWEST });
	assert.deepEqual(steered({ due: 5040, pace: 1.05 }), { pace: 1.02 });
	assert.deepEqual(steered({ due: 5010, pace: 1.02 }), { pace: 1 });
	// What was made up for is not made up for again from the other side.
	assert.deepEqual(steered({ due: 4960, pace: 1.02 }), { pace: 1 });
});

test("what is far from due is jumped to, as far as there is something", () => {
	const due = 5000 + JUMP_MS + 1;
	assert.deepEqual(steered({ due, buffered: [{ start: 0, end: 9000 }] }), { seekTo: due, pace: 1 });
	assert.deepEqual(steered({ due: 9000, buffered: [{ start: 0, end: 6060 }] }), { seekTo: 6000, pace: 1 });
	assert.deepEqual(steered({ due: 9000 }), { pace: FASTEST }, "a stall is not helped by jumping");
});

test("a hole is jumped over once what is behind it is due", () => {
	const buffered = [{ start: 0, end: 5000 }, { start: 5500, end: 6000 }];
	assert.deepEqual(steered({ buffered, due: 5400 }), { pace: 1 });
	assert.deepEqual(steered({ buffered, due: 5550 }), { seekTo: 5550, pace: 1 });
	assert.deepEqual(steered({ buffered: [...buffered, { start: 7000, end: 8000 }], due: 5550 }), { seekTo: 5500, pace: 1 });
	assert.deepEqual(steered({ buffered: [{ start: 6000, end: 7000 }], due: 6200 }), { seekTo: 6200, pace: 1 });
});

test("whatever is due, the position stays within its target of it", () => {
	let position = 0;
	let pace = 1;
	for (let now = 0; now < 60_000; now += 100) {
		// The page sleeps for some seconds, and the path gets slower and faster.
		const due = now - 250 - 200 * Math.sin(now / 5000);
		const isAsleep = now > 20_000 && now < 26_000;
		if (!isAsleep) {
			const todo = steer({ started: true, position, pace, buffered: [{ start: 0, end: due + 250 }], due });
			pace = todo.pace;
			position = todo.seekTo ?? position + 100 * pace;
			if (now > 1000) assert.ok(Math.abs(position - due) < JUMP_MS + 100, `at ${now}: ${position} instead of ${due}`);
		}
	}
});

test("what lies far behind is removed, in large pieces", () => {
	assert.equal(removeBefore({ start: 0, position: MOST_BEHIND_MS, isFull: false }), undefined);
	assert.equal(removeBefore({ start: 0, position: MOST_BEHIND_MS + 1, isFull: false }), MOST_BEHIND_MS + 1 - KEEP_BEHIND_MS);
});

test("a full buffer keeps what decoders need, and is given up when that is all", () => {
	assert.equal(removeBefore({ start: 0, position: 3000, isFull: true }), 3000 - KEEP_WHEN_FULL_MS);
	assert.equal(removeBefore({ start: 2500, position: 3000, isFull: true }), undefined);
});

test("a time line that jumps goes on where it was, for all tracks alike", () => {
	const leaps = new Leaps();
	assert.equal(leaps.offset("video", 100_000), 0);
	assert.equal(leaps.offset("audio", 99_980), 0);
	const offset = leaps.offset("video", 7);
	assert.ok(Math.abs(7 + offset - 100_000) < 100);
	assert.equal(leaps.offset("audio", 100_010), 0, "the other track may still be before the jump");
	assert.equal(leaps.offset("audio", 0), offset);
	assert.equal(leaps.offset("video", 40), offset);
});

test("a track that skips within the other's time line, or begins far behind it, has not jumped", () => {
	const leaps = new Leaps();
	leaps.offset("video", 0);
	for (let time = 0; time <= 3 * LEAP_MS; time += 20) assert.equal(leaps.offset("audio", time), 0);
	assert.equal(leaps.offset("video", 3 * LEAP_MS), 0);
	const other = new Leaps();
	other.offset("audio", 2 * SAME_LINE_MS);
	assert.equal(other.offset("video", 0), 0);
});

/** What a track does to its buffer. */
class FakeBuffer extends EventTarget {
	/** @type {string[]} */
	log = [];
	updating = false;
	isFull = false;
	#offset = 0;
	/** @type {[number, number][]} */
	ranges = [];

	get timestampOffset() {
		return this.#offset;
	}

	set timestampOffset(offset) {
		this.log.push(`offset ${offset}`);
		this.#offset = offset;
	}

	get buffered() {
		return { length: this.ranges.length, start: (/** @type {number} */ i) => this.ranges[i][0], end: (/** @type {number} */ i) => this.ranges[i][1] };
	}

	/** @param {Uint8Array} bytes */
	appendBuffer(bytes) {
		if (this.isFull) throw Object.assign(new Error("full"), { name: "QuotaExceededError" });
		this.log.push(`append ${bytes}`);
		this.updating = true;
	}

	/** @param {number} start @param {number} end */
	remove(start, end) {
		this.log.push(`remove ${start} ${end}`);
		this.ranges = this.ranges.filter((range) => range[1] > end).map((range) => [Math.max(range[0], end), range[1]]);
		this.isFull = false;
		this.updating = true;
	}

	settle() {
		while (this.updating) {
			this.updating = false;
			this.dispatchEvent(new Event("updateend"));
		}
	}
}

/** A track with a buffer. */
function track(keepMs = 0) {
	/** @type {string[]} */
	const told = [];
	const handlers = {
		handleChange: () => {},
		handleOverflow: () => told.push("overflow"),
		handleError: (/** @type {unknown} */ error) => told.push(String(error)),
	};
	const made = new MseTrack({ mime: "video/mp4", timescale: 1000, init: Uint8Array.of(1), keepMs }, handlers);
	const buffer = new FakeBuffer();
	const push = (/** @type {number} */ byte, offset = 0, time = offset) => made.push({ bytes: Uint8Array.of(byte), time, offset });
	return { track: made, buffer, push, told, attach: (origin = 0) => made.attach(/** @type {any} */ (buffer), origin) };
}

test("a buffer gets the initialization first, then what waited in one piece", () => {
	const { buffer, push, attach } = track();
	push(2);
	push(3);
	attach();
	buffer.settle();
	push(4);
	push(5);
	push(6);
	buffer.settle();
	assert.deepEqual(buffer.log, ["append 1,2,3", "append 4", "append 5,6"]);
});

test("where that is to be, another buffer begins with what came last, though it was played", () => {
	const { track: made, buffer, push, attach } = track(100);
	attach();
	push(2, 0, 0);
	push(3, 0, 60);
	push(4, 0, 120);
	for (let i = 0; i < 5; i++) buffer.settle();
	made.detach();
	buffer.log.length = 0;
	attach();
	buffer.settle();
	assert.deepEqual(buffer.log, ["append 1,3,4"]);
	made.clear();
	made.detach();
	buffer.log.length = 0;
	attach();
	buffer.settle();
	assert.deepEqual(buffer.log, ["append 1"], "what was to be forgotten came again");
});

test("what is on another time line is appended with its own offset", () => {
	const { buffer, push, attach } = track();
	attach();
	push(2);
	push(3, 4000);
	push(4, 4000);
	buffer.settle();
	assert.deepEqual(buffer.log, ["append 1", "append 2", "offset 4", "append 3,4"]);
});

test("a buffer's time line begins where it is told", () => {
	const { track: made, buffer, push, attach } = track();
	push(2, 7000);
	assert.equal(made.start, 7000);
	attach(5000);
	buffer.settle();
	buffer.ranges = [[0, 20]];
	made.trim(25_000);
	assert.deepEqual(buffer.log, ["append 1", "offset 2", "append 2", "remove 0 15"]);
});

test("a buffer in place of another keeps what it gets, however far the other was played", () => {
	const { track: made, buffer, push, attach } = track();
	attach(5000);
	buffer.settle();
	buffer.ranges = [[0, 60]];
	made.trim(65_000);
	buffer.settle();
	made.detach();
	buffer.log.length = 0;
	buffer.ranges = [];
	push(3, 66_000);
	attach(66_000);
	buffer.ranges = [[0, 1]];
	buffer.settle();
	assert.deepEqual(buffer.log, ["append 1,3"]);
});

test("a buffer that is full is emptied behind the position, and takes then what it refused", () => {
	const { track: made, buffer, push, attach, told } = track();
	attach();
	buffer.settle();
	buffer.ranges = [[0, 10]];
	made.trim(9000);
	buffer.isFull = true;
	push(2);
	buffer.settle();
	assert.deepEqual(buffer.log, ["append 1", "remove 0 8", "append 2"]);
	assert.deepEqual(told, []);
});

test("a buffer that is full of what lies ahead is given up", () => {
	const { track: made, buffer, push, attach, told } = track();
	attach();
	buffer.settle();
	buffer.ranges = [[0, 10]];
	made.trim(500);
	buffer.isFull = true;
	push(2);
	assert.deepEqual(told, ["QuotaExceededError: full"]);
});

test("a browser that takes nothing makes nothing wait for ever", () => {
	const { track: made, buffer, attach, told } = track();
	attach();
	buffer.settle();
	made.hold(true);
	for (let i = 0; i < 9; i++) made.push({ bytes: new Uint8Array(1 << 20), time: 0, offset: 0 });
	assert.deepEqual(told, ["overflow"]);
	made.hold(false);
	buffer.settle();
	assert.deepEqual(buffer.log, ["append 1"]);
});

test("a browser that has enough is given no more until it asks", () => {
	const { track: made, buffer, push, attach } = track();
	attach();
	buffer.settle();
	made.hold(true);
	push(2);
	assert.deepEqual(buffer.log, ["append 1"]);
	made.hold(false);
	assert.deepEqual(buffer.log, ["append 1", "append 2"]);
});
