const axios = require('axios');

exports.startup = async (cfg) => (await axios.post(`${cfg.server}/hooks`, { topic: cfg.topic })).data;
exports.shutdown = async (cfg, started) => (await axios.delete(`${cfg.server}/hooks/${started.id}`)).data;

// With callbacks: nothing is returned, `end` is emitted.
exports.process = function processTrigger(msg) {
  setImmediate(() => {
    this.emit('data', { id: msg.id, body: { got: msg.body, by: msg.method } });
    this.emit('httpReply', { statusCode: 202, body: 'thanks', headers: { 'content-type': 'text/plain' } });
    this.emit('end');
  });
};
