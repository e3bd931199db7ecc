const request = require('request-promise-native');

exports.process = function processAction(msg, cfg) {
  const self = this;
  const data = msg.data || msg.body;
  // Nothing is returned: it works with callbacks.
  request({ method: 'PUT', uri: `${cfg.server}/archive/${data.id}`, json: true, body: data })
    .then((saved) => self.emit('data', { data: saved, metadata: msg.metadata }))
    .catch((error) => self.emit('error', error))
    .then(() => self.emit('end'));
};
