const co = require('co');
const Q = require('q');
const axios = require('axios');

// As they were written before async functions: co, Q and an init that the platform calls first.
let base;

exports.init = function init(cfg) {
  return Q.delay(5).then(() => {
    base = cfg.server;
  });
};

exports.process = function processTrigger(msg, cfg, snapshot) {
  const self = this;
  return co(function* run() {
    const answer = yield axios.get(`${base}/orders`, { params: { since: snapshot.since || 0 } });
    for (const order of answer.data) {
      yield self.emit('data', { body: order, headers: { 'x-total': String(answer.data.length) } });
      yield self.emit('updateSnapshot', { since: order.id });
    }
  });
};
