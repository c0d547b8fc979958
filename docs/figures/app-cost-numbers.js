// made by benchmarks/figures.py from results/bundle-vs-models.json
const MEASURED = {
  "layers": 6,
  "kilobytes_of_backbone": 23953,
  "kilobytes_of_lora_layer": 222,
  "kilobytes_of_head": 61,
  "kilobytes_of_model": 23544,
  "ms_of_request": 1.59,
  "ms_of_layer": 0.548,
  "ms_of_model": 2.982
};
