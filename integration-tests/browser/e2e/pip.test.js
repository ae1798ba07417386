// @ts-check
/** Picture in picture: in a window of the player's own, or in the browser's where pages have no windows to open; offered nowhere else. */

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { Decode } from "../../../player/names.js";
import { browser, gateway, PATIENCE_MS, publisher, requirePrograms, site, stats, until, wait } from "./harness.js";
import { webkit } from "./webkit.js";

/** @typedef {import("playwright-core").Frame | import("playwright-core").Page} Place */

const options = { timeout: 4 * PATIENCE_MS };
/** By the keyboard: the controls go away from under a pointer that nobody moves. @param {Place} place @param {string} name */
const press = (place, name) => place.getByRole("button", { name }).press("Enter");
const PIP = "Picture in picture";

before(requirePrograms);

test("the player goes into a window of its own with all its controls, and comes back", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	publisher(test, `${rtmp}/live/test`);
	const { page, errors } = await browser(test, { mayPlaySound: true });
	await page.goto(`${http}/watch/live/test`);
	await until(page, { state: "playing", framesShown: 10 });
	for (const isClosed of [true, false]) {
		const opened = page.context().waitForEvent("page");
		await press(page, PIP);
		const window = await opened;
		await page.getByText("Playing in a window of its own").waitFor();
		await press(window, "Pause");
		await until(page, { state: "paused" });
		await press(window, "Play");
		const { framesShown = 0 } = await stats(page);
		await until(page, { state: "playing", framesShown: framesShown + 10 });
		if (isClosed) await window.close();
		else await press(page, "Bring it back");
		await page.getByRole("button", { name: "Pause" }).waitFor();
		// The button that brought it back is gone.
		if (!isClosed) assert.ok(await page.evaluate(() => document.querySelector("headwater-player")?.shadowRoot?.activeElement), "nothing has the focus");
	}
	assert.deepEqual(errors, []);
});

test("from frames, pictures go into the browser's own window, where frames are allowed to", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	publisher(test, `${rtmp}/live/test`);
	const frame = (/** @type {string} */ decode, allow = "*") => `<iframe allow="autoplay; picture-in-picture ${allow}" width="480" height="270" src="${http}/embed/live/test?decode=${decode}"></iframe>`;
	const { page } = await browser(test, { mayPlaySound: true });
	await page.goto(await site(test, `<!doctype html>${frame(Decode.WEBCODECS)}${frame(Decode.MSE)}${frame(Decode.AUTO, "'none'")}`));
	const [drawn, mse, forbidden] = page.frames().slice(1);
	for (const place of [drawn, mse]) {
		await until(place, { state: "playing", framesShown: 10 });
		await press(place, PIP);
		const moves = () => place.evaluate(() => {
			const player = document.querySelector("headwater-player");
			const { pictureInPictureElement: video } = /** @type {any} */ (player?.shadowRoot);
			return /** @type {any} */ (player).isInPictureInPicture && video?.getVideoPlaybackQuality().totalVideoFrames > 10;
		});
		await wait("a picture that moves", moves);
	}
	// There is one such window.
	assert.equal(await drawn.evaluate(() => /** @type {any} */ (document.querySelector("headwater-player")).isInPictureInPicture), false);
	await press(mse, PIP);
	await wait("the end of it", async () => !(await mse.evaluate(() => document.pictureInPictureElement)));
	await until(forbidden, { state: "playing" });
	assert.equal(await forbidden.getByRole("button", { name: PIP }).count(), 0);
});

test("a browser without it offers none", options, async (test) => {
	const { http } = await gateway(test);
	const { page } = await webkit(test, Decode.MSE);
	await page.goto(`${http}/embed/live/test`);
	await until(page, { state: "waiting" });
	const parts = await page.evaluate(() => {
		const { shadowRoot } = /** @type {Element} */ (document.querySelector("headwater-player"));
		return Array.from(shadowRoot?.querySelectorAll(".bar button") ?? [], (button) => button.getAttribute("part"));
	});
	assert.deepEqual(parts, ["button play", "button mute", "live", "button stats", "button fullscreen"]);
});
