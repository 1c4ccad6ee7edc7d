// Fetches runs of frames, so that the page's own thread only ever sees what is complete.

self.onmessage = async ({ data: { ticket, path, spare } }) => {
  try {
    const response = await fetch(path);
    if (!response.ok) {
      const told = await response.json().catch(() => ({}));
      throw new Error(told.error ?? `The server answered ${response.status}.`);
    }
    const header = (name) => response.headers.get(`X-Cinesr-${name}`);
    const [rows, columns] = header("Shape").split(",").map(Number);
    const facts = {
      rows,
      columns,
      slope: Number(header("Slope") ?? 1),
      intercept: Number(header("Intercept") ?? 0),
      rms: header("Rms") === null ? null : Number(header("Rms")),
    };
    const buffer = await receive(response, spare);
    self.postMessage({ ticket, buffer, facts }, [buffer]);
  } catch (error) {
    self.postMessage({ ticket, error: error.message });
  }
};

// Into memory that was used before, where the browser can: played frames would else pile up as
// garbage faster than it is collected.
async function receive(response, spare) {
  const length = Number(response.headers.get("Content-Length"));
  const reader = length ? intoBuffer(response.body) : null;
  if (!reader) return response.arrayBuffer();
  let buffer = spare?.byteLength === length ? spare : new ArrayBuffer(length);
  for (let filled = 0; filled < length; ) {
    const { done, value } = await reader.read(new Uint8Array(buffer, filled));
    if (done) throw new Error("The server's answer was cut short.");
    buffer = value.buffer;
    filled += value.byteLength;
  }
  reader.cancel();
  return buffer;
}

function intoBuffer(body) {
  try {
    return body.getReader({ mode: "byob" });
  } catch {
    return null;
  }
}
