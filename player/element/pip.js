// @ts-check
/**
 * Picture in picture: a window of the player's own where the browser makes such ones, so that all controls come along; else what
 * the browser does with a `<video>`, that of the canvas's pictures too.
 * @module
 */

/** What Document Picture-in-Picture gives pages. @typedef {{ requestWindow: (size: object) => Promise<Window & typeof globalThis> }} Windows */

/** @type {Windows | undefined} */
const windows = /** @type {any} */ (globalThis).documentPictureInPicture;

/** A window's size when there is no picture to go by. */
const SIZE = Object.freeze({ width: 480, height: 270 });

/** Whether there is any here. Frames of other pages have no windows to open. */
export function hasPictureInPicture() {
	return (windows !== undefined && globalThis.top === globalThis.self) || (document.pictureInPictureEnabled && "captureStream" in HTMLCanvasElement.prototype);
}

/** One stage that may be in a window of its own. */
export class PictureInPicture {
	#stage;
	#placeholder;
	#css;
	#handleChange;
	/** @type {Window | undefined} */
	#window;
	/** @type {HTMLVideoElement | undefined} A canvas's pictures. */
	#copy;
	/** Whether it is in the browser's own window. */
	#isFloating = false;

	/**
	 * @param {HTMLElement} stage what goes into the window
	 * @param {HTMLElement} placeholder what is seen in its place meanwhile
	 * @param {string} css its looks
	 * @param {() => void} handleChange it has come or gone
	 */
	constructor(stage, placeholder, css, handleChange) {
		this.#stage = stage;
		this.#placeholder = placeholder;
		this.#css = css;
		this.#handleChange = handleChange;
	}

	/** Whether it is in a window now. */
	get isOpen() {
		return this.#window !== undefined || this.#isFloating;
	}

	/**
	 * @param {HTMLCanvasElement | HTMLVideoElement} screen what shows the pictures
	 * @returns {Promise<void>} fails where nobody has clicked
	 */
	async open(screen) {
		if (this.isOpen) return;
		if (windows && globalThis.top === globalThis.self) return this.#openWindow(windows, screen);
		const video = screen instanceof HTMLVideoElement ? screen : await this.#capture(screen);
		await video.requestPictureInPicture();
		this.#isFloating = true;
		video.addEventListener("leavepictureinpicture", () => this.#handleLeft(), { once: true });
		this.#handleChange();
	}

	/** Comes back. May be called twice. */
	async close() {
		this.#window?.close();
		if (this.#isFloating) await document.exitPictureInPicture().catch(() => {});
	}

	/**
	 * @param {Windows} windows
	 * @param {HTMLCanvasElement | HTMLVideoElement} screen
	 */
	async #openWindow(windows, screen) {
		const { width, height } = screen.getBoundingClientRect();
		const opened = await windows.requestWindow(width > 0 ? { width: Math.round(width), height: Math.round(height) } : SIZE);
		this.#window = opened;
		const { document } = opened;
		const host = document.createElement("div");
		const root = host.attachShadow({ mode: "open" });
		// A sheet is of the document that it was made in.
		const sheet = new opened.CSSStyleSheet();
		sheet.replaceSync(`${this.#css} :host { position: fixed; inset: 0; aspect-ratio: auto; }`);
		root.adoptedStyleSheets = [sheet];
		this.#stage.replaceWith(this.#placeholder);
		root.append(this.#stage);
		document.body.append(host);
		opened.addEventListener("pagehide", () => this.#handleReturn(), { once: true });
		this.#handleChange();
	}

	#handleReturn() {
		this.#window = undefined;
		const hadFocus = this.#placeholder.matches(":focus-within");
		this.#placeholder.replaceWith(this.#stage);
		// Whoever has brought it back by a button that is gone now goes on here.
		if (hadFocus) this.#stage.focus({ preventScroll: true });
		this.#handleChange();
	}

	#handleLeft() {
		this.#isFloating = false;
		for (const track of /** @type {MediaStream | undefined} */ (this.#copy?.srcObject)?.getTracks() ?? []) track.stop();
		this.#copy?.remove();
		this.#copy = undefined;
		this.#handleChange();
	}

	/** @param {HTMLCanvasElement} canvas */
	async #capture(canvas) {
		const video = document.createElement("video");
		video.className = "copy";
		video.muted = true;
		video.srcObject = canvas.captureStream();
		this.#copy = video;
		this.#stage.append(video);
		await video.play();
		return video;
	}
}
