// node's `ws` as its documentation broadcasts: what comes in is sent to every open client. The package is installed into
// a temporary folder when the benchmark runs (NODE_PATH points there).
const { WebSocket, WebSocketServer } = require("ws");
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false, backlog: 4096 });
server.on("listening", () => console.log(JSON.stringify({ port: server.address().port })));
server.on("connection", (socket) => {
  socket.on("error", () => {});
  socket.on("message", (data) => {
    for (const client of server.clients) if (client.readyState === WebSocket.OPEN) client.send(data, { binary: false });
  });
});
