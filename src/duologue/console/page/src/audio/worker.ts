// Owns the audio socket, so that sound never waits for the page's main thread: what comes in goes straight to the
// playback worklet's port, what the worklets post goes straight to the socket.

const scope = self as unknown as {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: unknown): void;
  close(): void;
};

// About two seconds of microphone: beyond that the line is dead and old sound is worth nothing.
const MAX_WAITING_BYTES = 100_000;

let socket: WebSocket | null = null;
let dropped = 0;

scope.onmessage = (event) => {
  const { url, capture, playback, close } = event.data as {
    url?: string;
    capture?: MessagePort;
    playback?: MessagePort;
    close?: boolean;
  };
  const toSocket = (message: MessageEvent): void => {
    if (socket?.readyState !== WebSocket.OPEN) return;
    if (socket.bufferedAmount > MAX_WAITING_BYTES) {
      if (dropped++ === 0) scope.postMessage({ dropped });
      return;
    }
    dropped = 0;
    socket.send(message.data as ArrayBuffer);
  };
  if (capture) capture.onmessage = toSocket;
  if (playback) playback.onmessage = toSocket;
  if (url && playback) {
    socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => scope.postMessage({ state: "open" });
    socket.onclose = (end) => scope.postMessage({ state: "closed", code: end.code, reason: end.reason });
    socket.onmessage = (message) => {
      const data = message.data as ArrayBuffer;
      playback.postMessage(data, [data]);
    };
  }
  if (close) {
    socket?.close(1000);
    scope.close();
  }
};
