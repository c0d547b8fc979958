// made by benchmarks/figures.py from results/bundle-vs-models.json
const MEASURED = {
  "layers": 6,
  "kilobytes_of_backbone": 23956,
  "kilobytes_of_lora_layer": 222,
  "kilobytes_of_head": 61,
  "kilobytes_of_model": 23544,
  "ms_of_request": 1.17,
  "ms_of_layer": 0.808,
  "ms_of_model": 4.415
};
