const request = require('request-promise-native');

module.exports = function call(cfg, method, path, body) {
  const options = { method, uri: cfg.server + path, headers: { 'x-api-key': cfg.key }, json: true, body };
  return request(options);
};
