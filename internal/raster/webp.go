package raster

import "image"

// webpColors returns the colours of a lossy WebP as libwebp gives them. Its luma
// is of 16…235, which image.YCbCr, made for JPEG, does not know; its chroma is
// interpolated from the four nearest values in the ratio 9:3:3:1
// (src/dsp/upsampling.c, src/dsp/yuv.h).
func webpColors(m *image.YCbCr) *image.NRGBA {
	b := m.Rect
	out := image.NewNRGBA(b)
	width, height := (b.Dx()+1)/2, (b.Dy()+1)/2
	// neighbor is the index beside i/2 that is nearer to i than any other.
	neighbor := func(i, n int) int { return min(max(i/2-1+i%2*2, 0), n-1) }
	for y := range b.Dy() {
		near, far := y/2*m.CStride, neighbor(y, height)*m.CStride
		for x := range b.Dx() {
			here, beside := x/2, neighbor(x, width)
			blend := func(pix []uint8) int32 {
				n, h, v, d := int32(pix[near+here]), int32(pix[near+beside]), int32(pix[far+here]), int32(pix[far+beside])
				return ((n+3*h+3*v+d+8)>>3 + n) >> 1
			}
			l, u, v := int32(m.Y[y*m.YStride+x])*19077>>8, blend(m.Cb), blend(m.Cr)
			p := out.Pix[y*out.Stride+4*x:]
			p[0] = clip8((l + v*26149>>8 - 14234) >> 6)
			p[1] = clip8((l - u*6419>>8 - v*13320>>8 + 8708) >> 6)
			p[2] = clip8((l + u*33050>>8 - 17685) >> 6)
			p[3] = 0xff
		}
	}
	return out
}
