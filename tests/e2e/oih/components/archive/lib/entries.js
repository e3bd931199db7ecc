const Q = require('q');
const request = require('request-promise-native');

// As older components do it: promises by Q, `body` or `data`, an updateSnapshot a record.
exports.process = function processTrigger(msg, cfg, snapshot) {
  const self = this;
  const since = snapshot.since || 0;
  return Q(request({ uri: `${cfg.server}/records?since=${since}`, json: true })).then((entries) => {
    entries.forEach((entry) => {
      self.emit('data', { data: entry, metadata: {} });
      self.emit('updateSnapshot', { since: entry.updated });
    });
    self.emit('end');
  });
};
