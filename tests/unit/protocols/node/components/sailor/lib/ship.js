const axios = require('axios');

exports.process = async function ship(msg, cfg) {
  const { data } = await axios.post(`${cfg.server}/shipments`, Object.assign({ carrier: cfg.carrier }, msg.body));
  return { body: data, headers: {} };
};

exports.getCarriers = (cfg, cb) => {
  axios.get(`${cfg.server}/carriers`).then((answer) => cb(null, answer.data), cb);
};

exports.getMetaModel = async () => ({
  in: { type: 'object', properties: { id: { type: 'string', required: true } } },
  out: {},
});
