// Package encoder turns images and prompts into vectors with a frozen SigLIP
// model, MedSigLIP first of all.
//
// [Import] reads a checkpoint in Hugging Face's layout once and leaves an
// encoder in a folder of the caller's: the two towers as ONNX graphs with their
// weights beside them, the vocabulary, the preprocessing, a [Manifest]. [Open]
// takes it from there, [Encoder.EncodeImages] and [Encoder.EncodeTexts] give
// one vector per image or prompt. The vectors are the towers' own, not of
// length one; for vectors v and t brought to length one
//
//	logit = v·t · LogitScale + LogitBias
//
// is SigLIP's score of an image against a prompt, and its sigmoid the model's
// probability that the prompt is true of the image.
//
// # What is guarded
//
// Equal fingerprints mean equal vectors. [Encoder.Fingerprint] covers weights,
// graphs, vocabulary and precision, [Encoder.PreprocessFingerprint] everything
// that moves a pixel on the way in ([Profile]); a name, a path or the file
// format of the checkpoint is in neither. [Verify] reads an encoder's files
// again and compares their digests. A vector that is not finite is an error.
//
// Towers, tokens and pixels agree with Hugging Face's: the towers with an
// independent PyTorch forward pass to 1e-5 of a vector's length (testdata,
// tools/reference/siglip.py), the tokens id for id, the pixels with Pillow.
//
// # What is refused
//
// Pickled weights are never read. Files that disagree with config.json are
// refused with the tensor, its shape and the shape that was expected.
//
// # ONNX Runtime
//
// The towers run in ONNX Runtime 1.24 or newer, which [FindRuntime] looks for in
// the places where it is usually installed; 'make setup' puts it into the
// project. A process loads one library and may open several encoders.
package encoder
