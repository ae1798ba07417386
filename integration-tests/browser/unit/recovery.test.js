// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { MAX_DECISIONS, Decisions } from "../../../player/session/decisions.js";
import { successors } from "../../../player/transport/connection.js";
import { Health, LEAST_PATIENCE_MS, MOST_PATIENCE_MS, QUIET_MS, STARVED_MS, STARVING_FROM_MS } from "../../../player/transport/health.js";
import { ATTEMPT_MS, LAST_RETRY_MS, Recovery } from "../../../player/transport/recovery.js";

/**
 * When attempts are made until some time, all of which fail at once.
 *
 * @param {Recovery} recovery
 * @param {number} until
 */
function attempts(recovery, until, from = 0) {
	const made = [];
	for (let now = from; now < until; now++) {
		if (!recovery.pollAttempt(now)) continue;
		made.push(now);
		recovery.handleFailed(now);
	}
	return made;
}

test("the first attempt is made at once, the next ones later and later, and never more than 1.5 s apart", () => {
	assert.deepEqual(attempts(new Recovery(0, () => 0), 6000), [0, 250, 750, 1750, 3250, 4750]);
	const made = attempts(new Recovery(0, () => 0), 600_000);
	assert.ok(made.every((at, i) => i === 0 || at - made[i - 1] <= LAST_RETRY_MS));
});

test("half of a wait is left to chance", () => {
	assert.deepEqual(attempts(new Recovery(0, () => 1), 1000), [0, 125, 375, 875]);
});

test("after one that delivered, waits are short again", () => {
	const recovery = new Recovery(0, () => 0);
	attempts(recovery, 10_000);
	while (!recovery.pollAttempt(20_000));
	recovery.handleDelivered();
	assert.ok(!recovery.pollAttempt(30_000));
	recovery.handleLost(30_000);
	assert.deepEqual(attempts(recovery, 31_000, 30_000), [30_250, 30_750]);
});

test("an attempt that hangs is given up", () => {
	const recovery = new Recovery(0, () => 0);
	assert.ok(recovery.pollAttempt(0));
	assert.ok(!recovery.isOverdue(ATTEMPT_MS - 1));
	assert.ok(recovery.isOverdue(ATTEMPT_MS));
	recovery.handleFailed(ATTEMPT_MS);
	assert.ok(!recovery.isOverdue(ATTEMPT_MS));
	assert.ok(recovery.pollAttempt(ATTEMPT_MS + 250));
});

test("a connection that stalls is replaced at once, unless that is under way or it goes on", () => {
	const recovery = new Recovery(0, () => 0);
	recovery.pollAttempt(0);
	recovery.handleDelivered();
	recovery.handleStalled(1000);
	assert.ok(recovery.pollAttempt(1000));
	recovery.handleStalled(1100);
	recovery.handleLost(1200);
	assert.ok(!recovery.pollAttempt(1200));
	recovery.handleRecovered();
	assert.ok(!recovery.pollAttempt(1300));
	assert.ok(!recovery.isOverdue(100_000));
});

test("another network ends an attempt over the one before", () => {
	const recovery = new Recovery(0, () => 0);
	assert.ok(recovery.pollAttempt(0));
	recovery.handleNetwork(3000);
	assert.ok(!recovery.isOverdue(ATTEMPT_MS));
	assert.ok(recovery.pollAttempt(3000));
	assert.ok(recovery.isOverdue(3000 + ATTEMPT_MS));
});

test("another network ends the wait", () => {
	const recovery = new Recovery(0, () => 0);
	attempts(recovery, 3000);
	recovery.handleNetwork(3000);
	assert.ok(recovery.pollAttempt(3000));
	recovery.handleDelivered();
	recovery.handleNetwork(4000);
	assert.ok(!recovery.pollAttempt(4000), "nothing was waited for");
});

test("a connection that owes an answer for long is complained of; what is long depends on the round trip", () => {
	const complaint = (/** @type {number} */ unansweredMs, rttMs = 1) => new Health(0).complaint(1000, { unansweredMs, rttMs, wantsPictures: true });
	assert.equal(complaint(LEAST_PATIENCE_MS), undefined);
	assert.ok(complaint(LEAST_PATIENCE_MS + 1));
	assert.equal(complaint(1000, 400), undefined);
	assert.ok(complaint(MOST_PATIENCE_MS + 1, 5000));
});

test("a connection that gets no pictures through is complained of, but not one on which nobody sends any", () => {
	const answers = { unansweredMs: 0, wantsPictures: true };
	const health = new Health(0);
	assert.equal(health.complaint(60_000, answers), undefined);
	health.handleMedia(60_000, true);
	health.handleGap(60_100);
	assert.equal(health.complaint(60_000 + STARVED_MS, answers), undefined);
	assert.ok(health.complaint(60_001 + STARVED_MS, answers));
	assert.equal(health.complaint(60_001 + STARVED_MS, { ...answers, wantsPictures: false }), undefined);
	health.handleMedia(65_000, true);
	assert.equal(health.complaint(70_000, answers), undefined);
});

test("a connection that has just begun is not complained of for want of pictures, nor one of which none were wanted", () => {
	const answers = { unansweredMs: 0, wantsPictures: true };
	const health = new Health(0);
	health.handleGap(100);
	assert.equal(health.complaint(STARVING_FROM_MS, answers), undefined);
	assert.ok(health.complaint(STARVING_FROM_MS + 1, answers));
	health.handleWanted(60_000);
	assert.equal(health.complaint(60_000 + STARVED_MS, answers), undefined);
});

test("without any media nobody sends", () => {
	const health = new Health(0);
	health.handleMedia(1000, false);
	assert.ok(!health.isQuiet(1000 + QUIET_MS));
	assert.ok(health.isQuiet(1001 + QUIET_MS));
});

test("what has stalled is opened anew after the others, and what needs another decoder comes last", () => {
	const known = ["webtransport", "rtwebsocket-stream", "websocketstream", "websocket"];
	assert.deepEqual(successors(known, "webtransport", "webcodecs"), ["rtwebsocket-stream", "webtransport", "websocketstream", "websocket"]);
	assert.deepEqual(successors(known, "webtransport", "mse"), ["rtwebsocket-stream", "websocketstream", "websocket", "webtransport"]);
	assert.deepEqual(successors(["webtransport"], "webtransport", "webcodecs"), ["webtransport"]);
});

test("the last decisions are kept, with their times", () => {
	const decisions = new Decisions(1000);
	assert.deepEqual(decisions.add(1500.4, "race", "webtransport won"), { atMs: 500, kind: "race", detail: "webtransport won" });
	for (let i = 0; i < 100; i++) decisions.add(2000 + i, "speed", "");
	assert.equal(decisions.entries.length, MAX_DECISIONS);
	assert.equal(decisions.entries.at(-1)?.atMs, 1099);
	assert.equal(decisions.entries[0].kind, "race", "what is common does not push out what is rare");
});
