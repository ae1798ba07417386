// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { MAX_EXTRA_MS, MIN_TARGET_MS, ROUND_TRIP_SHARE, Schedule, SPARE_MS } from "../../../player/media/schedule.js";

const FRAME_MS = 20;

/**
 * A stream whose first frame would take 1000 ms to come by the fastest path.
 *
 * @param {Schedule} schedule
 * @param {number} from timestamp
 * @param {number} to timestamp
 * @param {(timestamp: number) => number} [lateness]
 */
function stream(schedule, from, to, lateness = () => 0) {
	for (let timestamp = from; timestamp < to; timestamp += FRAME_MS) schedule.handleReceived(timestamp + 1000 + lateness(timestamp), "video", timestamp);
}

/**
 * How long after the fastest path a frame is due.
 *
 * @param {Schedule} schedule
 * @param {number} timestamp
 */
const delay = (schedule, timestamp) => timestamp - (schedule.due(timestamp + 1000) ?? NaN);

test("nothing is due before anything has come", () => {
	assert.equal(new Schedule().due(1000), undefined);
});

test("the first target is a third of the hint, a calm path's is the least", () => {
	const schedule = new Schedule();
	schedule.setHint(300);
	schedule.handleReceived(1000, "video", 0);
	assert.equal(Math.round(delay(schedule, 0)), 100);
	stream(schedule, FRAME_MS, 60_000);
	assert.equal(delay(schedule, 60_000), MIN_TARGET_MS);
});

test("a hint that is none is not taken", () => {
	const schedule = new Schedule();
	for (const hint of [NaN, -1, Infinity]) schedule.setHint(hint);
	assert.equal(schedule.target(0), 50);
});

test("the target covers the lateness that is seen", () => {
	const schedule = new Schedule();
	stream(schedule, 0, 10_000, (timestamp) => (timestamp % 200 === 0 ? 90 : 0));
	assert.ok(delay(schedule, 10_000) > 90 + SPARE_MS - 5);
});

test("a track that is always later than the other is waited for", () => {
	const schedule = new Schedule();
	for (let timestamp = 0; timestamp < 5000; timestamp += FRAME_MS) {
		schedule.handleReceived(timestamp + 1000, "audio", timestamp);
		schedule.handleReceived(timestamp + 1000, "video", timestamp - 100);
	}
	assert.ok(delay(schedule, 5000) >= 100 + SPARE_MS - 5);
});

test("lateness is forgotten", () => {
	const schedule = new Schedule();
	stream(schedule, 0, 1000, (timestamp) => (timestamp === 800 ? 120 : 0));
	stream(schedule, 1000, 40_000);
	assert.equal(delay(schedule, 40_000), MIN_TARGET_MS);
});

test("a group that is joined in its middle does not raise the target", () => {
	const schedule = new Schedule();
	for (let timestamp = -2000; timestamp < 0; timestamp += 25) schedule.handleReceived(1000, "audio", timestamp);
	for (let timestamp = -2000; timestamp < 0; timestamp += FRAME_MS) schedule.handleReceived(1010, "video", timestamp);
	stream(schedule, 0, 1000);
	assert.ok(delay(schedule, 1000) <= 51);
});

test("a hitch while everything starts does not raise the target", () => {
	const schedule = new Schedule();
	stream(schedule, 0, 1000, (timestamp) => (timestamp === 200 ? 100 : 0));
	assert.ok(delay(schedule, 1000) <= 51);
});

test("a stall does not raise the target beyond its bound, and what was due stays due", () => {
	const schedule = new Schedule();
	schedule.setHint(150);
	stream(schedule, 0, 5000);
	for (let timestamp = 5000; timestamp < 8000; timestamp += FRAME_MS) schedule.handleReceived(9000 + timestamp / 100, "video", timestamp);
	stream(schedule, 8100, 12_000);
	assert.ok(delay(schedule, 12_000) <= 150 + MAX_EXTRA_MS);
	assert.ok(delay(schedule, 12_000) <= 51);
});

test("a path that has become longer is followed within five seconds", () => {
	const schedule = new Schedule();
	stream(schedule, 0, 10_000);
	stream(schedule, 10_000, 15_100, () => 3000);
	assert.equal(15_100 + 3000 - 1000 - (schedule.edge(15_100 + 3000) ?? NaN), 1000 + 3000 - 1000);
});

test("a faster path is followed at once", () => {
	const schedule = new Schedule();
	stream(schedule, 0, 1000, () => 300);
	schedule.handleReceived(2000, "video", 1000);
	assert.equal(schedule.edge(2000), 1000);
});

test("time that steps back, and stays there, begins anew", () => {
	const schedule = new Schedule();
	stream(schedule, 100_000, 101_000);
	const begun = [];
	for (let timestamp = 0; timestamp < 1000; timestamp += FRAME_MS) begun.push(schedule.handleReceived(102_000 + timestamp, "video", timestamp));
	assert.equal(begun.filter(Boolean).length, 1);
	assert.equal(schedule.edge(103_000), 1000);
});

test("an old group that comes once more changes nothing", () => {
	const schedule = new Schedule();
	stream(schedule, 0, 10_000);
	const before = [schedule.edge(12_000), schedule.target(12_000)];
	schedule.settle(11_000);
	for (let timestamp = 6000; timestamp < 10_000; timestamp += FRAME_MS) assert.ok(!schedule.handleReceived(11_000, "video", timestamp));
	assert.deepEqual([schedule.edge(12_000), schedule.target(12_000)], before);
});

test("a long round trip is given more time", () => {
	const schedule = new Schedule();
	stream(schedule, 0, 60_000);
	schedule.setRoundTrip(400);
	assert.ok(Math.abs(schedule.target(61_000) - (SPARE_MS + 400 * ROUND_TRIP_SHARE)) < 1);
});

test("two tracks in different places share one line", () => {
	const schedule = new Schedule();
	schedule.handleReceived(1000, "audio", 5000);
	schedule.handleReceived(1000, "video", 3000);
	assert.equal(schedule.edge(1000), 5000);
});

test("underruns raise the target up to its bound", () => {
	const schedule = new Schedule();
	schedule.setHint(150);
	stream(schedule, 0, 1000);
	const before = schedule.target(2000);
	schedule.handleUnderrun(2000);
	assert.ok(schedule.target(2000) > before);
	for (let i = 0; i < 100; i++) schedule.handleUnderrun(2000);
	assert.equal(schedule.target(2000), 150 + MAX_EXTRA_MS);
});
