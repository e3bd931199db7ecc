const axios = require('axios');

let headers;

exports.init = async function init(cfg) {
  headers = cfg.apiKey ? { 'x-api-key': cfg.apiKey } : {};
};

exports.process = async function save(msg, cfg) {
  this.logger.info('saving %s', msg.body.id);
  try {
    const { data } = await axios.put(`${cfg.server}/orders/${msg.body.id}`, msg.body, { headers });
    await this.emit('data', { body: data, headers: {} });
  } catch (error) {
    if (error.response && error.response.status === 409) {
      await this.emit('rebound', 'somebody else holds it');
      return;
    }
    throw error;
  }
};
