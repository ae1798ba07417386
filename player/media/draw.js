// @ts-check
/**
 * Draws a frame in its own size, and closes it.
 *
 * @param {OffscreenCanvas | HTMLCanvasElement} canvas
 * @param {VideoFrame} frame
 */
export function drawFrame(canvas, frame) {
	if (canvas.width !== frame.displayWidth) canvas.width = frame.displayWidth;
	if (canvas.height !== frame.displayHeight) canvas.height = frame.displayHeight;
	const context = /** @type {OffscreenCanvasRenderingContext2D | null} */ (canvas.getContext("2d", { alpha: false }));
	context?.drawImage(frame, 0, 0);
	frame.close();
}
