// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { ASLEEP_MS } from "../../../player/session/ping.js";
import { NETWORK_MS, Presence } from "../../../player/session/presence.js";

/** By the machine's clock, when the test's own is at 0. */
const WALL_MS = 1_700_000_000_000;
const TICK_MS = 100;

/**
 * A viewer that has run until a time, and how often it had slept by then.
 *
 * @param {number} until
 * @param {(now: number) => number} [wall]
 */
function running(until, wall = (now) => WALL_MS + now) {
	const presence = new Presence(0, wall(0));
	let sleeps = 0;
	for (let now = 0; now <= until; now += TICK_MS) sleeps += Number(presence.handleAwake(now, wall(now)));
	return { presence, sleeps };
}

test("who runs for a day has not slept", () => {
	assert.equal(running(24 * 3600_000).sleeps, 0);
});

test("ticks that come late come after a sleep, once", () => {
	const { presence } = running(1000);
	const now = 1000 + ASLEEP_MS + 1;
	assert.ok(presence.handleAwake(now, WALL_MS + now));
	assert.ok(!presence.handleAwake(now + TICK_MS, WALL_MS + now + TICK_MS));
});

test("ticks that are held up for a moment are no sleep", () => {
	const { presence } = running(1000);
	assert.ok(!presence.handleAwake(1000 + ASLEEP_MS, WALL_MS + 1000 + ASLEEP_MS));
});

test("a sleep is noticed where the clock that does not jump stands still meanwhile", () => {
	assert.equal(running(10_000, (now) => WALL_MS + now + (now < 5000 ? 0 : 3600_000)).sleeps, 1);
});

test("a clock that is set back is no sleep", () => {
	assert.equal(running(10_000, (now) => WALL_MS + now - (now < 5000 ? 0 : 3600_000)).sleeps, 0);
});

test("who is away stays away however late it is, and is back when that is said, once", () => {
	const { presence } = running(1000);
	assert.ok(presence.setAway(true));
	assert.ok(!presence.setAway(true));
	assert.ok(!presence.handleAwake(60_000, WALL_MS + 60_000));
	assert.ok(presence.isAway);
	assert.ok(presence.setAway(false));
	assert.ok(!presence.setAway(false));
	assert.ok(!presence.handleAwake(60_000, WALL_MS + 60_000), "it is connected anew already");
});

test("another network is looked at each time, a new estimate of the same one now and then", () => {
	const { presence } = running(1000);
	assert.ok(presence.handleNetwork(1000, false));
	assert.ok(!presence.handleNetwork(1000 + NETWORK_MS - 1, false));
	assert.ok(presence.handleNetwork(1000 + NETWORK_MS, false));
	assert.ok(presence.handleNetwork(1001 + NETWORK_MS, true));
	assert.ok(presence.handleNetwork(1002 + NETWORK_MS, true));
});
